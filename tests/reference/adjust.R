# Makes adjust_r.csv from adjust_students.csv: weighted regressions (package survey), and the decomposition of a gap by lm
# and matrices of all rows. Rscript adjust.R, in this folder; R 4.2.2, survey 4.1.1.
suppressMessages(library(survey))
options(digits = 15)
students <- read.csv("adjust_students.csv", na.strings = "", stringsAsFactors = TRUE)
students$parental_education <- factor(students$parental_education, levels = c(
  "some high school", "high school", "some college", "associate's degree", "bachelor's degree", "master's degree"))
BACKGROUND <- c("gender", "parental_education", "lunch", "test_prep")
values <- NULL
add <- function(model, method, term, quantity, value)
  values <<- rbind(values, data.frame(model, method, term, quantity, value = as.numeric(value)))

# Weighted means with equal weights of the other factors: combinations of the coefficients.
equal_means <- function(model, fit, data) for (factor in attr(terms(fit), "term.labels")) {
  if (!(factor %in% BACKGROUND)) next
  all <- expand.grid(lapply(data[intersect(BACKGROUND, all.vars(formula(fit)))], levels), stringsAsFactors = TRUE)
  for (name in names(all)) all[[name]] <- factor(all[[name]], levels = levels(data[[name]]))
  for (level in levels(data[[factor]])) {
    row <- colMeans(model.matrix(delete.response(terms(fit)), all[all[[factor]] == level, , drop = FALSE]))
    add(model, "means", paste0(factor, ": ", level), c("mean", "std_error"),
        c(sum(row * coef(fit)), sqrt(row %*% vcov(fit) %*% row)))
  }
}

weighted <- function(model, formula, ids, means = TRUE) {
  fit <- svyglm(formula, svydesign(ids = ids, weights = ~weight, data = students))
  table <- summary(fit)$coefficients
  limits <- confint(fit)
  for (term in rownames(table))
    add(model, "coefficients", term, c("estimate", "std_error", "statistic", "df", "p_value", "ci_low", "ci_high"),
        c(table[term, 1:3], fit$df.residual, table[term, 4], limits[term, ]))
  names <- attr(terms(fit), "term.labels")
  for (term in if (any(grepl(":", names))) grep(":", names, value = TRUE) else names) {  # of type II are the last terms alone
    test <- regTermTest(fit, as.formula(paste("~", term)))
    add(model, "tests", term, c("df1", "df2", "statistic", "p_value"), c(test$df, test$ddf, test$Ftest, test$p))
  }
  if (means) equal_means(model, fit, students)
  if (is.null(fit$na.action)) add(model, "fit", "", "sigma", sqrt(summary(fit)$dispersion[1]))
}
additive <- math ~ gender + parental_education + lunch + test_prep
weighted("math", additive, ~1)
weighted("math by school", additive, ~school)
weighted("reading", reading ~ gender + parental_education, ~1)
weighted("reading by school", reading ~ gender + parental_education, ~school)
weighted("math and reading by school", math ~ gender + lunch + reading, ~school, means = FALSE)
weighted("crossed", reading ~ gender * test_prep, ~1, means = FALSE)

# Gelbach (2016). The influence of a student on a part is what its gap and its coefficients would change without the student.
gaps <- function(score, factor) {
  data <- na.omit(students[c(score, BACKGROUND)])
  others <- setdiff(BACKGROUND, factor)
  long <- lm(reformulate(c(factor, others), score), data)
  short <- lm(reformulate(factor, score), data)
  own <- model.matrix(reformulate(factor), data)
  X <- model.matrix(long)
  of_column <- c("intercept", c(factor, others))[attr(X, "assign") + 1]
  bread <- solve(crossprod(X))
  change <- (X %*% bread) * (resid(long) / (1 - hatvalues(long)))  # of the coefficients, a row per student
  influence <- list(raw = (own %*% solve(crossprod(own))) * (resid(short) / (1 - hatvalues(short))),
                    adjusted = change[, colnames(own)])
  estimate <- list(raw = coef(short), adjusted = coef(long)[colnames(own)])
  for (part in c(others, "explained")) {
    columns <- if (part == "explained") of_column %in% others else of_column == part
    gap <- lm(X[, columns, drop = FALSE] ~ own - 1)  # of each of the part's columns
    moved <- as.vector(X[, columns, drop = FALSE] %*% coef(long)[columns])
    about <- lm(moved ~ own - 1)
    estimate[[part]] <- coef(about)
    influence[[part]] <- (own %*% solve(crossprod(own))) * as.vector(resid(about) / (1 - hatvalues(about))) +
      change[, columns, drop = FALSE] %*% t(as.matrix(coef(gap)))
  }
  for (part in names(estimate)) for (i in 2:ncol(own)) {
    level <- levels(data[[factor]])[i]
    add(paste(score, "by", factor), part, level, "estimate", estimate[[part]][i])
    add(paste(score, "by", factor), part, level, "std_error", sqrt(sum(influence[[part]][, i]^2)))
  }
}
gaps("math", "lunch")
gaps("math", "parental_education")
values$value <- signif(values$value, 13)
write.csv(values, "adjust_r.csv", row.names = FALSE)
