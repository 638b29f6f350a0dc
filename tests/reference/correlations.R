# Correlations of classes.csv: `Rscript correlations.R` in this folder writes correlations_r.csv. R 4.2.2, psych 2.2.9.
# Partial ones are those of the residuals of two regressions; each given term costs Fisher's interval one student.
suppressPackageStartupMessages(library(psych))
rows <- read.csv("classes.csv", na.strings = "")
values <- NULL
add <- function(first, second, given, level, n, r, rank) {
  limits <- r.con(r, n - rank)
  values <<- rbind(values, data.frame(first, second, given, level, n, estimate = formatC(r, digits = 15),
                                      ci_low = formatC(limits[1], digits = 15), ci_high = formatC(limits[2], digits = 15)))
}
partial <- function(first, second, given) {
  data <- na.omit(rows[c(first, second, given)])
  fits <- lapply(c(first, second), function(score) lm(reformulate(given, score), data))
  add(first, second, paste(given, collapse = ", "), "", nrow(data), cor(resid(fits[[1]]), resid(fits[[2]])), fits[[1]]$rank - 1)
}
plain <- function(data, first, second, level) {
  data <- na.omit(data[c(first, second)])
  add(first, second, "", level, nrow(data), cor(data[[first]], data[[second]]), 0)
}
plain(rows, "math", "essay", "")
for (level in unique(na.omit(rows$class))) plain(rows[which(rows$class == level), ], "math", "essay", level)
partial("math", "essay", "class")
partial("math", "essay", c("sex", "class"))
partial("math", "essay", c("sex", "class", "weight"))
partial("math", "essay", "weight")
complete <- na.omit(rows[c("math", "essay", "weight")])
stopifnot(all.equal(as.numeric(values$estimate[nrow(values)]), partial.r(complete, 1:2, 3)[1, 2]))
write.csv(values, "correlations_r.csv", row.names = FALSE)
