# What R says about the tables of this folder: writes r_values.csv. Names of terms and levels are those of studperf.
#     Rscript tests/reference/make_reference.R
# R 4.2.2, car 3.1-1, effectsize 0.8.3, emmeans 1.8.4, sandwich 3.0-2, lme4 1.1-31.
suppressPackageStartupMessages({library(car); library(effectsize); library(emmeans); library(sandwich); library(lmtest); library(lme4)})
invisible(Sys.setlocale("LC_COLLATE", "C"))
options(contrasts = c("contr.treatment", "contr.treatment"))  # for ordered factors too
folder <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)))

tables <- list(
  school = list(scores = c("essay", "exam"), numbers = "age", margin = 3, interaction = c("sex", "region"),
                factors = list(sex = NULL, region = NULL, grade = NULL, income = c("low", "middle", "high", "very high"), club = NULL),
                ordered = "income"),
  tiny = list(scores = c("mark", "speed"), numbers = "speed", margin = 2, interaction = c("class", "sex"),
              factors = list(class = NULL, sex = NULL, track = paste0("t", 0:9)), ordered = "track"),
  large = list(scores = c("mass", "depth"), numbers = "depth", margin = .5, interaction = c("group", "arm"),
               factors = list(group = NULL, arm = NULL), ordered = "group"),
  extremes = list(scores = "points", numbers = NULL, margin = 60, interaction = c("side", "block"),
                  factors = list(side = NULL, block = NULL), ordered = "block"),
  clusters = list(scores = "score", numbers = "hours", margin = 4, interaction = c("kind", "effort"), cluster = "room",
                  factors = list(kind = NULL, effort = c("some", "much", "full")), ordered = "effort"),
  odd = list(scores = "mark", numbers = NULL, margin = 1, factors = list(class = NULL, sex = NULL), ordered = "class"))

values <- list()
put <- function(.score, .factor, .method, .term, ...) {
  numbers <- unlist(list(...))
  values[[length(values) + 1]] <<- data.frame(data = data, score = .score, factor = .factor, method = .method, term = .term,
                                              quantity = names(numbers), value = unname(numbers))
}
in_words <- function(formula_term) gsub(":", " x ", formula_term, fixed = TRUE)
coefficient_names <- function(model) {  # 'sexm:regionsouth' is 'sex: m x region: south'
  known <- c("(Intercept)" = "intercept")
  for (f in names(model$xlevels)) for (l in model$xlevels[[f]]) known[paste0(f, l)] <- paste0(f, ": ", l)
  sapply(strsplit(names(coef(model)), ":"), function(parts)
    paste(ifelse(parts %in% names(known), known[parts], parts), collapse = " x "))
}
complete <- function(columns) droplevels(frame[complete.cases(frame[columns]), columns, drop = FALSE])
has_hc3 <- function(model) !anyNA(coef(model)) && max(hatvalues(model)) < 1 - 1e-9
right_side <- function(terms) if (length(terms)) paste(terms, collapse = " + ") else "1"

describing <- function(s) {
  groups <- c(list(list("", "", frame[[s]])), unlist(lapply(factors, function(f)
    lapply(levels(frame[[f]]), function(l) list(f, l, frame[[s]][which(frame[[f]] == l)]))), recursive = FALSE))
  for (group in groups) {
    x <- group[[3]][!is.na(group[[3]])]
    put(s, group[[1]], "describe", group[[2]], n = length(x), missing = length(group[[3]]) - length(x), mean = mean(x), sd = sd(x),
        std_error = sd(x) / sqrt(length(x)), setNames(quantile(x, type = 7), c("min", "q25", "median", "q75", "max")))
  }
}

correlating <- function(columns) for (pair in if (length(columns) > 1) combn(columns, 2, simplify = FALSE)) {
  test <- cor.test(frame[[pair[1]]], frame[[pair[2]]])
  put(pair[1], "", "correlation", pair[2], r = unname(test$estimate), ci_low = test$conf.int[1], ci_high = test$conf.int[2])
  rows <- complete(c(pair, factors))
  left <- sapply(pair, function(name) resid(lm(reformulate(factors, name), rows)))
  r <- cor(left)[1, 2]
  rank <- lm(reformulate(factors, pair[1]), rows)$rank - 1
  margin <- qnorm(.975) / sqrt(nrow(rows) - 3 - rank)
  put(pair[1], "", "partial correlation", pair[2], r = r, ci_low = tanh(atanh(r) - margin), ci_high = tanh(atanh(r) + margin))
}

welch <- function(s, f, method, term, a, b) {
  test <- t.test(a, b)
  put(s, f, method, term, t = unname(test$statistic), df = unname(test$parameter), p = test$p.value, diff = mean(a) - mean(b),
      ci_low = test$conf.int[1], ci_high = test$conf.int[2])
}
# effectsize finds its limits with an optimiser that stops early, by up to 1e-4 here, so they are solved for.
solved <- function(gap, low, high) uniroot(gap, c(low, high), tol = 1e-13, maxiter = 10000)$root
g <- function(s, f, term, a, b) {
  estimate <- as.data.frame(hedges_g(a, b))$Hedges_g
  put(s, f, "hedges_g", term, estimate = estimate)
  test <- t.test(a, b, var.equal = TRUE); t <- unname(test$statistic); df <- unname(test$parameter)
  if (abs(t) + 5 > 37.62) return()  # pt knows no noncentrality beyond
  limits <- sapply(c(.975, .025), function(p) solved(function(ncp) pt(t, df, ncp) - p, t - 9 - abs(t), min(t + 9 + abs(t), 37.62)))
  put(s, f, "hedges_g limits", term, ci_low = estimate * limits[1] / t, ci_high = estimate * limits[2] / t)
}
omega <- function(s, f, rows) {  # effectsize writes 0 for a negative estimate; its limits are those of that 0
  table <- anova(lm(reformulate(f, s), rows)); squares <- table$`Sum Sq`; df <- table$Df; error <- squares[2] / df[2]
  estimate <- (squares[1] - df[1] * error) / (sum(squares) + error)
  theirs <- as.data.frame(omega_squared(aov(reformulate(f, s), rows), ci = NULL, partial = FALSE))$Omega2
  stopifnot(isTRUE(all.equal(max(estimate, 0), theirs, tolerance = 1e-9)))
  statistic <- max(estimate, 0) / df[1] / ((1 - max(estimate, 0)) / df[2])
  limits <- sapply(c(.975, .025), function(p) if (pf(statistic, df[1], df[2], 0) <= p) 0
                   else solved(function(ncp) pf(statistic, df[1], df[2], ncp) - p, 0, 10 * statistic * df[1] + 100))
  put(s, f, "omega_squared", "", estimate = estimate)
  put(s, f, "omega_squared limits", "", ci_low = limits[1] / (limits[1] + df[2]), ci_high = limits[2] / (limits[2] + df[2]))
}

comparing <- function(s, f) {
  rows <- complete(c(s, f)); x <- rows[[s]]; group <- rows[[f]]; formula <- reformulate(f, s)
  parts <- split(x, group); k <- length(parts)
  anova_row <- anova(lm(formula, rows))
  put(s, f, "anova", "", F = anova_row$F[1], df1 = anova_row$Df[1], df2 = anova_row$Df[2], p = anova_row$`Pr(>F)`[1])
  put(s, f, "eta_squared", "", estimate = anova_row$`Sum Sq`[1] / sum(anova_row$`Sum Sq`))
  test <- kruskal.test(x, group)
  put(s, f, "kruskal", "", H = unname(test$statistic), df = unname(test$parameter), p = test$p.value,
      effect = rank_epsilon_squared(x, group, ci = NULL)$rank_epsilon_squared)
  test <- leveneTest(x, group, center = median)
  put(s, f, "brown_forsythe", "", F = test$`F value`[1], df1 = test$Df[1], df2 = test$Df[2], p = test$`Pr(>F)`[1])
  if (k == 2) {
    test <- wilcox.test(parts[[1]], parts[[2]], exact = FALSE, correct = TRUE)
    put(s, f, "mann_whitney", "", U = unname(test$statistic), p = test$p.value,
        effect = rank_biserial(parts[[1]], parts[[2]], ci = NULL)$r_rank_biserial)
  }
  if (f %in% about$ordered) trending(s, f, rows)
  if (min(lengths(parts)) < 2) return()
  test <- oneway.test(formula, rows)
  put(s, f, "welch_anova", "", F = unname(test$statistic), df1 = unname(test$parameter[1]), df2 = unname(test$parameter[2]), p = test$p.value)
  omega(s, f, rows)
  for (pair in combn(k, 2, simplify = FALSE)) {
    a <- parts[[pair[1]]]; b <- parts[[pair[2]]]; term <- paste(names(parts)[pair], collapse = " vs ")
    if (k == 2) welch(s, f, "welch_t", term, a, b)
    g(s, f, term, a, b)
    games_howell(s, f, term, a, b, k)
    both <- c(t.test(a, b, mu = -about$margin, alternative = "greater")$p.value, t.test(a, b, mu = about$margin, alternative = "less")$p.value)
    put(s, f, "equivalence", term, p = max(both))
  }
}

games_howell <- function(s, f, term, a, b, k) {
  test <- t.test(a, b); se <- test$stderr; df <- unname(test$parameter)
  put(s, f, "games_howell", term, t = unname(test$statistic), df = df)
  if (df < 2) return()  # ptukey knows none of these
  q <- solved(function(q) ptukey(q, k, df) - .95, 1, 100)  # qtukey itself stops at four digits
  margin <- q / sqrt(2) * se
  put(s, f, "games_howell", term, ci_low = mean(a) - mean(b) - margin, ci_high = mean(a) - mean(b) + margin,
      p = ptukey(abs(unname(test$statistic)) * sqrt(2), k, df, lower.tail = FALSE))
}

trending <- function(s, f, rows) {
  model <- lm(reformulate(f, s), rows, contrasts = setNames(list("contr.poly"), f))
  row <- coef(summary(model))[paste0(f, ".L"), ]
  limits <- confint(model)[paste0(f, ".L"), ]
  put(s, f, "trend", "", coef = row[[1]], t = row[[3]], p = row[[4]], df = model$df.residual, ci_low = limits[[1]], ci_high = limits[[2]])
}

# A coefficient table with any covariance; emmeans and car do the same with theirs.
coefficients_of <- function(s, method, model, matrix, all = TRUE) {
  estimable <- !is.na(coef(model)); names <- coefficient_names(model)[estimable]
  table <- coeftest(model, matrix, df = model$df.residual); limits <- coefci(model, vcov. = matrix, df = model$df.residual)
  for (i in seq_along(names)) {
    put(s, "", method, names[i], se = table[i, 2])
    if (all) put(s, "", method, names[i], coef = table[i, 1], t = table[i, 3], p = table[i, 4], ci_low = limits[i, 1], ci_high = limits[i, 2])
  }
}
tests_of <- function(s, method, model, robust = FALSE) {
  table <- if (robust) suppressMessages(Anova(model, type = 2, white.adjust = "hc3")) else Anova(model, type = 2)
  for (term in setdiff(rownames(table), "Residuals")) {
    f <- table[term, if (robust) "F" else "F value"]; df <- table[term, "Df"]
    put(s, in_words(term), method, "", F = f, df1 = df, p = table[term, "Pr(>F)"])
    if (!robust) {
      put(s, in_words(term), method, "", ss = table[term, "Sum Sq"], partial_omega_squared = df * (f - 1) / (df * (f - 1) + nobs(model)))
    }
  }
}
means_of <- function(s, method, model, matrix, weights) for (f in intersect(factors, names(model$xlevels))) {
  table <- as.data.frame(emmeans(model, f, weights = weights, vcov. = matrix))
  for (i in seq_len(nrow(table))) put(s, f, method, as.character(table[i, f]), mean = table$emmean[i], se = table$SE[i],
                                      ci_low = table$lower.CL[i], ci_high = table$upper.CL[i])
}
fit_of <- function(s, method, model) {
  put(s, "", method, "", n = nobs(model), r2 = summary(model)$r.squared, adj_r2 = summary(model)$adj.r.squared,
      sigma = sigma(model), df_resid = model$df.residual)
}

regressing <- function(s) {
  rows <- complete(c(s, factors))
  additive <- eval(bquote(lm(.(reformulate(factors, s)), rows)))
  fit_of(s, "fit", additive)
  for (kind in c("classical", "HC0", "HC1", "HC2", "HC3")) {
    if (kind %in% c("HC2", "HC3") && !has_hc3(additive)) next
    matrix <- if (kind == "classical") vcov(additive) else vcovHC(additive, kind)
    coefficients_of(s, paste("ols", kind), additive, matrix, all = kind %in% c("classical", "HC3"))
  }
  tests_of(s, "type2", additive)
  for (weights in c("equal", "proportional")) {
    means_of(s, paste("emmeans", weights), additive, vcov(additive), weights)
    if (has_hc3(additive)) means_of(s, paste("emmeans", weights, "HC3"), additive, vcovHC(additive, "HC3"), weights)
  }
  if (has_hc3(additive)) tests_of(s, "type2 HC3", additive, robust = TRUE)
  cells <- lm(reformulate("cell", s), cbind(rows, cell = interaction(rows[factors], drop = TRUE)))
  lack <- anova(additive, cells)
  put(s, "", "ceiling", "", ceiling = summary(cells)$adj.r.squared, additive_r2 = summary(additive)$adj.r.squared, cells = length(coef(cells)),
      F = lack$F[2], df1 = lack$Df[2], df2 = lack$Res.Df[2], p = lack$`Pr(>F)`[2])
  if (length(factors) > 1 && data != "odd" && nrow(rows) > 100) {
    pairs <- combn(factors, 2, paste, collapse = ":")
    all_pairs <- eval(bquote(lm(.(reformulate(c(factors, pairs), s)), rows)))
    table <- Anova(all_pairs, type = 2)
    for (term in pairs) put(s, in_words(term), "interaction", "", F = table[term, "F value"], df1 = table[term, "Df"], ss = table[term, "Sum Sq"], p = table[term, "Pr(>F)"])
  }
  if (!is.null(about$interaction)) {
    one <- eval(bquote(lm(.(reformulate(c(factors, paste(about$interaction, collapse = ":")), s)), rows)))
    tests_of(s, "type2 interacting", one)
    if (has_hc3(one)) {
      coefficients_of(s, "interacting HC3", one, vcovHC(one, "HC3"))
      tests_of(s, "type2 interacting HC3", one, robust = TRUE)
    }
  }
  if (length(about$numbers) && !s %in% about$numbers) {
    rows <- complete(c(s, factors, about$numbers))
    numeric <- eval(bquote(lm(.(reformulate(c(factors, about$numbers), s)), rows)))
    fit_of(s, "fit numeric", numeric)
    coefficients_of(s, "numeric", numeric, vcov(numeric))
    tests_of(s, "type2 numeric", numeric)
    rows[[about$numbers]] <- rows[[about$numbers]] - mean(rows[[about$numbers]])  # a mean of a million costs emmeans its digits
    centred <- eval(bquote(lm(.(reformulate(c(factors, about$numbers), s)), rows)))
    means_of(s, "emmeans numeric", centred, vcov(centred), "equal")
  }
}

multivariate <- function() {
  rows <- complete(c(about$scores, factors))
  table <- Anova(lm(as.formula(paste0("cbind(", paste(about$scores, collapse = ", "), ") ~ ", right_side(factors))), rows), type = 2)
  for (f in factors) {
    eigenvalues <- Re(eigen(qr.coef(qr(table$SSPE), table$SSP[[f]]), symmetric = FALSE, only.values = TRUE)$values)
    for (name in c("Pillai", "Wilks")) {
      test <- get(name, asNamespace("car"))(eigenvalues, table$df[[f]], table$error.df)
      put("", f, paste("manova", name), "", value = test[1], F = test[2], df1 = test[3], df2 = test[4],
          p = pf(test[2], test[3], test[4], lower.tail = FALSE))
    }
  }
}

clustering <- function(s) {
  rows <- complete(c(s, factors, about$cluster)); room <- rows[[about$cluster]]; last <- nlevels(room) - 1
  for (numeric in c(FALSE, TRUE)) {
    if (numeric) { rows <- complete(c(s, factors, about$numbers, about$cluster)); room <- rows[[about$cluster]]; last <- nlevels(room) - 1 }
    terms <- c(factors, if (numeric) about$numbers); suffix <- if (numeric) " numeric" else ""
    model <- eval(bquote(lm(.(reformulate(terms, s)), rows)))
    for (kind in c("HC0", "HC1")) {
      matrix <- vcovCL(model, room, type = kind)
      table <- coeftest(model, matrix, df = last); limits <- coefci(model, vcov. = matrix, df = last)
      for (i in seq_len(nrow(table))) put(s, "", paste0("cluster ", kind, suffix), coefficient_names(model)[i], coef = table[i, 1], se = table[i, 2],
                                          t = table[i, 3], p = table[i, 4], ci_low = limits[i, 1], ci_high = limits[i, 2])
      for (term in terms) {
        own <- which(attr(model.matrix(model), "assign") == match(term, terms)); along <- coef(model)[own]
        f <- drop(along %*% solve(matrix[own, own], along)) / length(own)
        put(s, term, paste0("type2 cluster ", kind, suffix), "", F = f, df1 = length(own), df2 = last, p = pf(f, length(own), last, lower.tail = FALSE))
      }
    }
    formula <- as.formula(paste(s, "~", right_side(terms), "+ (1 |", about$cluster, ")"))
    # The default stops some 1e-6 short of the maximum.
    random <- lmer(formula, rows, control = lmerControl("bobyqa", optCtrl = list(rhobeg = .1, rhoend = 1e-12, maxfun = 1e5)))
    names <- coefficient_names(model); variances <- as.data.frame(VarCorr(random))$vcov
    for (i in seq_along(names)) put(s, "", paste0("lmer", suffix), names[i], coef = fixef(random)[[i]], se = sqrt(diag(as.matrix(vcov(random))))[[i]])
    put(s, "", paste0("lmer", suffix), "", cluster_variance = variances[1], residual_variance = variances[2])
  }
  rows <- complete(c(s, about$cluster))
  variances <- as.data.frame(VarCorr(lmer(as.formula(paste(s, "~ 1 + (1 |", about$cluster, ")")), rows,
                                          control = lmerControl("bobyqa", optCtrl = list(rhobeg = .1, rhoend = 1e-12, maxfun = 1e5)))))$vcov
  put(s, "", "icc", "", icc = variances[1] / sum(variances))
}

for (data in names(tables)) {
  about <- tables[[data]]; factors <- names(about$factors)
  frame <- read.csv(file.path(folder, paste0(data, ".csv")), na.strings = "", colClasses = NA, stringsAsFactors = FALSE)
  if ("count" %in% names(frame)) frame <- frame[rep(seq_len(nrow(frame)), frame$count), ]
  for (f in factors) frame[[f]] <- factor(frame[[f]], levels = if (is.null(about$factors[[f]])) sort(unique(as.character(frame[[f]]))) else about$factors[[f]])
  if (!is.null(about$cluster)) frame[[about$cluster]] <- factor(frame[[about$cluster]])
  for (s in about$scores) {
    describing(s)
    for (f in factors) comparing(s, f)
    regressing(s)
    if (!is.null(about$cluster)) clustering(s)
  }
  correlating(unique(c(about$scores, about$numbers)))
  if (length(about$scores) > 1) multivariate()
}
values <- do.call(rbind, values)
values <- values[!(is.na(values$value) & values$method == "describe"), ]  # the SD of one student
stopifnot(is.finite(values$value), !duplicated(values[1:6]))
values$value <- sprintf("%.17g", values$value)
write.csv(values, file.path(folder, "r_values.csv"), row.names = FALSE, quote = FALSE)
