# Makes odds_r.csv from adjust_students.csv: logistic regressions by glm, average comparisons and predictions by their definition
# (as package marginaleffects has it), with errors by the delta method and numerical derivatives; clusters by sandwich::vcovCL.
# Rscript odds.R, in this folder; R 4.2.2, sandwich 3.0-2.
suppressMessages(library(sandwich))
options(digits = 15)
students <- read.csv("adjust_students.csv", na.strings = "", stringsAsFactors = TRUE)
students$parental_education <- factor(students$parental_education, levels = c(
  "some high school", "high school", "some college", "associate's degree", "bachelor's degree", "master's degree"))
BACKGROUND <- c("gender", "parental_education", "lunch", "test_prep")
values <- NULL
add <- function(model, method, term, quantity, value)
  values <<- rbind(values, data.frame(model, method, term, quantity, value = as.numeric(value)))

slope <- function(f, at) sapply(seq_along(at), function(i) {  # central differences with Richardson's step
  d <- function(h) { up <- at; up[i] <- up[i] + h; down <- at; down[i] <- down[i] - h; (f(up) - f(down)) / (2 * h) }
  (4 * d(5e-4) - d(1e-3)) / 3
})

odds <- function(name, score, mark, terms, cluster = FALSE) {
  data <- droplevels(na.omit(students[unique(c(score, terms, "school"))]))  # vcovCL would count schools without students
  data$reached <- as.integer(data[[score]] >= mark)
  fit <- glm(reformulate(terms, "reached"), binomial, data, epsilon = 1e-14)
  V <- if (cluster) vcovCL(fit, ~school, type = "HC0", cadjust = TRUE) else vcov(fit)
  for (term in names(coef(fit))) add(name, "coefficients", term, c("estimate", "std_error"), c(coef(fit)[term], sqrt(V[term, term])))
  add(name, "fit", "", c("n", "reached"), c(nrow(data), sum(data$reached)))
  for (factor in terms) {
    levels <- levels(data[[factor]])
    at <- function(level) function(b) {
      changed <- data; changed[[factor]] <- factor(level, levels = levels)
      mean(plogis(model.matrix(delete.response(terms(fit)), changed) %*% b))
    }
    for (level in levels) {
      chance <- at(level); g <- slope(chance, coef(fit))
      add(name, "chances", paste0(factor, ": ", level), c("estimate", "std_error"), c(chance(coef(fit)), sqrt(g %*% V %*% g)))
    }
    for (level in levels[-1]) {
      difference <- function(b) at(level)(b) - at(levels[1])(b)
      g <- slope(difference, coef(fit))
      add(name, "comparisons", paste0(factor, ": ", level), c("estimate", "std_error"),
          c(difference(coef(fit)), sqrt(g %*% V %*% g)))
    }
    if (cluster) {
      own <- grepl(paste0("^", factor), names(coef(fit)))
      add(name, "tests", factor, c("statistic", "df"), c(coef(fit)[own] %*% solve(V[own, own]) %*% coef(fit)[own], sum(own)))
    } else {
      test <- drop1(fit, reformulate(factor), test = "LRT")
      add(name, "tests", factor, c("statistic", "df", "p_value"), c(test$LRT[2], test$Df[2], test$`Pr(>Chi)`[2]))
    }
  }
}
odds("math", "math", 65, BACKGROUND)
odds("math by school", "math", 65, BACKGROUND, cluster = TRUE)
odds("reading", "reading", 72, c("lunch", "parental_education"))
values$value <- signif(values$value, 13)
write.csv(values, "odds_r.csv", row.names = FALSE)
