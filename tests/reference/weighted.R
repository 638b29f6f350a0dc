# Survey statistics of classes.csv, a made-up table: `Rscript weighted.R` in this folder writes weighted_r.csv. R 4.2.2, survey 4.1.
# svyvar counts students without a score too, where they are there; so it is given those who have one.
suppressPackageStartupMessages(library(survey))
rows <- read.csv("classes.csv", na.strings = "")
values <- NULL
add <- function(method, score, factor, level, quantity, value) {
  values <<- rbind(values, data.frame(method, score, factor, level, quantity, value = formatC(as.numeric(value), digits = 15)))
}
design <- svydesign(ids = ~1, weights = ~weight, data = rows)
for (score in c("math", "essay")) {
  of_score <- reformulate(score)
  with_score <- svydesign(ids = ~1, weights = ~weight, data = rows[!is.na(rows[[score]]), ])
  mean <- svymean(of_score, design, na.rm = TRUE)
  add("describe", score, "", "", "mean", coef(mean))
  add("describe", score, "", "", "std_error", SE(mean))
  add("describe", score, "", "", "sd", sqrt(coef(svyvar(of_score, with_score))))
  for (factor in c("sex", "class")) {
    means <- svyby(of_score, reformulate(factor), design, svymean, na.rm = TRUE)
    variances <- svyby(of_score, reformulate(factor), with_score, svyvar)
    for (i in seq_len(nrow(means))) {
      level <- as.character(means[[factor]][i])
      add("describe", score, factor, level, "mean", coef(means)[i])
      add("describe", score, factor, level, "std_error", SE(means)[i])
      add("describe", score, factor, level, "sd", sqrt(coef(variances)[i]))
    }
  }
  test <- svyttest(reformulate("sex", score), design)
  add("svyttest", score, "sex", "", "estimate", -test$estimate)   # the first level minus the second
  add("svyttest", score, "sex", "", "ci_low", -test$conf.int[2])
  add("svyttest", score, "sex", "", "ci_high", -test$conf.int[1])
  add("svyttest", score, "sex", "", "statistic", -test$statistic)
  add("svyttest", score, "sex", "", "df2", test$parameter)
  add("svyttest", score, "sex", "", "p_value", test$p.value)
  wald <- regTermTest(svyglm(reformulate("class", score), design), ~class, method = "Wald")
  add("wald", score, "class", "", "statistic", wald$Ftest)
  add("wald", score, "class", "", "df1", wald$df)
  add("wald", score, "class", "", "df2", wald$ddf)
  add("wald", score, "class", "", "p_value", wald$p)
}
write.csv(values, "weighted_r.csv", row.names = FALSE, quote = FALSE)
