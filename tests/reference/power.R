# Power of two-sided t-tests: `Rscript power.R` in this folder writes power_r.csv. R 4.2.2, pwr 1.3.
# strict = TRUE counts both tails, as a two-sided test does.
suppressPackageStartupMessages(library(pwr))
values <- NULL
add <- function(quantity, n_a, n_b, difference, sd, level, value) {
  values <<- rbind(values, data.frame(quantity, n_a, n_b, difference, sd, level, value = formatC(value, digits = 15)))
}
for (level in c(.05, .001)) {
  for (n in c(2, 5, 20, 200)) for (difference in c(1, 6, 25)) {
    result <- power.t.test(n, difference, 12.5, level, strict = TRUE)
    add("power", n, n, difference, 12.5, level, result$power)
  }
  for (target in c(.5, .8, .99)) {
    result <- power.t.test(n = 25, sd = 12.5, sig.level = level, power = target, strict = TRUE, tol = 1e-12)
    add(paste("difference for power", target), 25, 25, NA, 12.5, level, result$delta)
    result <- power.t.test(delta = 6, sd = 12.5, sig.level = level, power = target, strict = TRUE, tol = 1e-12)
    add(paste("n for power", target), NA, NA, 6, 12.5, level, result$n)
  }
  for (n_b in c(3, 40, 1000)) {
    result <- pwr.t2n.test(n1 = 15, n2 = n_b, d = .7, sig.level = level)
    add("power of pwr.t2n.test", 15, n_b, .7, 1, level, result$power)
  }
}
write.csv(values, "power_r.csv", row.names = FALSE)
