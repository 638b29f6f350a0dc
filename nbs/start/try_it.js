// The arithmetic of a fitted predictor, as studperf.prediction.formula has it in Python, and a form around it. Asks no host for anything.
"use strict";
window.studperf = (() => {
  const clip = (value, limits) => limits ? Math.min(Math.max(value, limits[0]), limits[1]) : value;

  function refuse(name, found, expected) {
    throw new RangeError(`${name}: found ${JSON.stringify(found)}, expected ${expected}`);
  }

  const levelsOf = (formula, student) => Object.keys(formula.points).map(factor => student[factor] ?? null);

  function pointsOfLevel(factor, points, level) {
    const found = points.find(([known]) => known === level);
    return found ? found[1] : refuse(factor, level, `one of ${points.map(([known]) => known).join(", ")}`);
  }

  function pointsOfNumber(formula, name, number) {
    if (number === null && name in formula.missing) return formula.missing[name];
    const [slope, mean] = formula.slopes[name], range = formula.ranges[name];
    const inRange = typeof number === "number" && (!range || range[0] <= number && number <= range[1]);
    return inRange ? slope * (number - mean) : refuse(name, number, range ? `a number from ${range[0]} to ${range[1]}` : "a number");
  }

  function raw(formula, student) { // points before the score's limits
    if (formula.encoded) throw new RangeError("a model of trees, expected one with a short formula; use the dashboard");
    const levels = levelsOf(formula, student);
    let value = formula.constant;
    for (const [factor, points] of Object.entries(formula.points)) value += pointsOfLevel(factor, points, student[factor] ?? null); // 0 where there is a table
    if (formula.table) value += formula.table.find(([cell]) => cell.every((level, i) => level === levels[i]))[1];
    for (const name of Object.keys(formula.slopes)) value += pointsOfNumber(formula, name, student[name] ?? null);
    return value;
  }

  function halfWidth(formula, level) { // of a conformal interval; infinite if there are too few students for this level
    const absolute = formula.residuals.map(Math.abs).sort((a, b) => a - b);
    const rank = Math.ceil(Number(((formula.n + 1) * level).toFixed(9)));
    return rank > formula.n ? Infinity : absolute[Math.ceil(rank * absolute.length / formula.n) - 1];
  }

  function predictOne(formula, student, level = 0.9) {
    const value = raw(formula, student), margin = halfWidth(formula, level);
    const levels = levelsOf(formula, student);
    const seen = formula.combinations && formula.combinations.some(known => known.every((name, i) => name === levels[i]));
    return { prediction: clip(value, formula.limits), low: clip(value - margin, formula.limits), high: clip(value + margin, formula.limits), seen };
  }

  function chance(formula, student, mark) { // of scoring the mark or more; where scores go in steps, one counts from half a step below
    if (formula.limits && mark <= formula.limits[0]) return 1;
    if (formula.limits && mark > formula.limits[1]) return 0;
    const steps = Math.ceil(Math.round(mark / formula.step * 1e9) / 1e9); // 7.3 / .1 is a little less than 73
    const error = (formula.step ? (steps - 0.5) * formula.step : mark) - raw(formula, student);
    const below = formula.residuals.filter(residual => residual <= error).length;
    return 1 - (below / formula.residuals.length * formula.n + 0.5) / (formula.n + 1);
  }

  function words(name) { return name.replaceAll("_", " "); }

  function field(label, control) {
    const line = document.createElement("label");
    line.append(label, control);
    return line;
  }

  function choice(name, options) {
    const select = document.createElement("select");
    select.name = name;
    select.append(...options.map(option => new Option(words(option), option)));
    return select;
  }

  function picture(answer, limits) {
    const at = value => 10 + 480 * (value - limits[0]) / (limits[1] - limits[0]);
    return `<svg viewBox="0 0 500 46" role="img" aria-label="${Math.round(answer.prediction)} on a scale from ${limits[0]} to ${limits[1]}, with a range from ${Math.round(answer.low)} to ${Math.round(answer.high)}">
      <line x1="${at(limits[0])}" x2="${at(limits[1])}" y1="18" y2="18" class="scale"/>
      <line x1="${at(answer.low)}" x2="${at(answer.high)}" y1="18" y2="18" class="range"/>
      <circle cx="${at(answer.prediction)}" cy="18" r="8" class="point"/>
      <text x="${at(limits[0])}" y="42">${limits[0]}</text><text x="${at(limits[1])}" y="42" text-anchor="end">${limits[1]}</text></svg>`;
  }

  function show(place, formulas) {
    const form = document.createElement("form"), answer = document.createElement("output");
    const target = choice("target", Object.keys(formulas)), factors = Object.entries(formulas[target.value].points);
    form.append(field("score", target), ...factors.map(([name, points]) => field(words(name), choice(name, points.map(([level]) => level)))));
    const mark = Object.assign(document.createElement("input"), { type: "number", name: "mark", min: 0, max: 100, value: 60, required: true });
    form.append(field("mark to reach", mark));
    answer.setAttribute("aria-live", "polite");
    const update = () => {
      const student = Object.fromEntries(factors.map(([name]) => [name, form.elements[name].value]));
      const formula = formulas[target.value], found = predictOne(formula, student);
      const reaching = mark.validity.valid ? ` ${Math.round(100 * chance(formula, student, Number(mark.value)))} in 100 reach ${mark.value} or more.` : " The mark must lie between 0 and 100.";
      answer.innerHTML = `<strong>${Math.round(found.prediction)}</strong> points in ${target.value} are expected on average. `
        + `Nine in ten such students score between ${Math.round(found.low)} and ${Math.round(found.high)}.`
        + reaching + (found.seen !== false ? "" : " No student of the sample had just this combination.") + picture(found, formula.limits);
    };
    form.addEventListener("input", update);
    form.addEventListener("submit", event => event.preventDefault());
    place.replaceChildren(form, answer);
    update();
  }

  return { predictOne, chance, show };
})();
