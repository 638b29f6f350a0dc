
"use strict"
// Opens the parts of the page: all, for printing, or the one that a link leads to.
const parts = [...document.querySelectorAll("details")], button = document.getElementById("open-all")
const openAll = () => {
  const open = parts.some(part => !part.open)
  for (const part of parts) part.open = open
  label()
}
const label = () => { button.textContent = parts.some(part => !part.open) ? "Open all parts" : "Close all parts" }
button.hidden = false
button.addEventListener("click", openAll)
for (const part of parts) part.addEventListener("toggle", label)

const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (!target) return
  for (let one = target.querySelector(":scope > details") || target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true
  target.scrollIntoView()
}
addEventListener("hashchange", reveal)
for (const link of document.querySelectorAll("a[href^='#']")) link.addEventListener("click", () => { if (link.hash === location.hash) reveal() })
reveal()

let closed = []
addEventListener("beforeprint", () => { closed = parts.filter(part => !part.open); for (const part of closed) part.open = true })
addEventListener("afterprint", () => { for (const part of closed) part.open = false })

// Says of each table whether it scrolls.
const seen = new ResizeObserver(found => { for (const { target } of found) target.classList.toggle("wide", target.scrollWidth > target.clientWidth + 1) })
for (const region of document.querySelectorAll(".scroll")) seen.observe(region)

// Saves a figure as it is drawn here, 640 pixels wide and in light colours: each box, line and text becomes one of the picture.
const SVG = "http://www.w3.org/2000/svg"
const add = (parent, name, attributes, text) => {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, typeof value === "number" ? Math.round(value * 100) / 100 : value)
  if (text) element.textContent = text
  return parent.appendChild(element)
}
const seenColor = color => !/^transparent$|^rgba.*, 0\)$|\/ 0\)$/.test(color)

const drawBox = (picture, style, box, turned) => {
  const fill = seenColor(style.backgroundColor) ? style.backgroundColor : "none", width = parseFloat(style.borderTopWidth)
  const x = box.left + box.width / 2, y = box.top + box.height / 2
  if (turned) {
    const r = box.width / 2 - width / 2
    add(picture, "path", { d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z`, fill, stroke: style.borderTopColor, "stroke-width": width })
  } else if (fill !== "none" && style.borderTopLeftRadius === "50%") add(picture, "circle", { cx: x, cy: y, r: box.width / 2, fill })
  else if (fill !== "none") add(picture, "rect", { x: box.left, y: box.top, width: box.width, height: box.height, fill, opacity: style.opacity })
  if (turned) return
  const sides = { Top: [box.left, box.top, box.right, box.top], Bottom: [box.left, box.bottom, box.right, box.bottom], Left: [box.left, box.top, box.left, box.bottom] }
  for (const [side, [x1, y1, x2, y2]] of Object.entries(sides)) {
    const thick = parseFloat(style[`border${side}Width`])
    if (thick) add(picture, "line", { x1, y1, x2, y2, stroke: style[`border${side}Color`], "stroke-width": thick, ...(style[`border${side}Style`] === "dashed" ? { "stroke-dasharray": "4 3" } : {}) })
  }
}

const drawText = (picture, node, style) => {
  const range = document.createRange(), lines = []
  for (let i = 0; i < node.length; i++) {
    range.setStart(node, i)
    range.setEnd(node, i + 1)
    const at = range.getClientRects()[0], last = lines.at(-1)
    if (!at || !at.width) continue
    if (last && Math.abs(last.bottom - at.bottom) < 4) Object.assign(last, { text: last.text + node.data[i], right: at.right })
    else lines.push({ text: node.data[i], left: at.left, right: at.right, bottom: at.bottom, height: at.height })
  }
  const anchor = style.textAlign === "right" ? "end" : style.position === "absolute" ? "middle" : "start"
  for (const { text, left, right, bottom, height } of lines) add(picture, "text", {
    x: anchor === "end" ? right : anchor === "middle" ? (left + right) / 2 : left, y: bottom - .22 * height, "text-anchor": anchor, fill: style.color,
    "font-size": style.fontSize, "font-weight": style.fontWeight }, text.trim())
}

const drawPaths = (picture, svg, box) => {
  const inner = add(picture, "svg", { x: box.left, y: box.top, width: box.width, height: box.height, viewBox: svg.getAttribute("viewBox"), preserveAspectRatio: "none" })
  for (const path of svg.children) {
    const style = getComputedStyle(path)
    add(inner, "path", { d: path.getAttribute("d"), fill: style.fill, "fill-opacity": style.fillOpacity })
  }
}

const draw = (picture, element) => {
  const style = getComputedStyle(element), box = element.getBoundingClientRect()
  if (element.tagName === "svg") return drawPaths(picture, element, box)
  drawBox(picture, style, box, /^matrix\([^,]+, *-?0?\.[0-9]*[1-9]/.test(style.transform))
  for (const node of element.childNodes) {
    if (node.nodeType === Node.TEXT_NODE) drawText(picture, node, style)
    else if (node.nodeType === Node.ELEMENT_NODE) draw(picture, node)
  }
}

const pictureOf = figure => {
  const shown = document.createElement("div"), at = [scrollX, scrollY]
  shown.className = "strips picture"
  shown.append(figure.firstElementChild.cloneNode(true))
  document.body.append(shown)
  scrollTo(0, 0)
  const { width, height } = shown.getBoundingClientRect(), picture = document.createElementNS(SVG, "svg")
  for (const [key, value] of Object.entries({ width, height: Math.ceil(height), viewBox: `0 0 ${width} ${Math.ceil(height)}`, "font-family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif" })) picture.setAttribute(key, value)
  add(picture, "title", {}, figure.querySelector("p").textContent)
  add(picture, "desc", {}, figure.querySelector("figcaption").firstChild.textContent)
  draw(picture, shown)
  shown.remove()
  scrollTo(...at)
  return picture
}

const save = (name, address) => Object.assign(document.createElement("a"), { download: name, href: address }).click()
const saveFigure = (figure, kind) => {
  const picture = pictureOf(figure), name = figure.querySelector("p").textContent.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "figure"
  const address = "data:image/svg+xml;charset=utf-8," + encodeURIComponent('<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(picture))
  if (kind === "SVG") return save(`${name}.svg`, address)
  const image = new Image()
  image.onload = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 2 * image.width, height: 2 * image.height })
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    save(`${name}.png`, canvas.toDataURL("image/png"))
  }
  image.src = address
}
for (const figure of document.querySelectorAll("figure.strips")) {
  const row = document.createElement("p")
  row.className = "get"
  row.append("Save this figure: ")
  for (const kind of ["SVG", "PNG"]) {
    const one = Object.assign(document.createElement("button"), { type: "button", textContent: kind, ariaLabel: `${kind}: save the figure ${figure.querySelector("p").textContent}` })
    one.addEventListener("click", () => saveFigure(figure, kind))
    row.append(one, " ")
  }
  figure.append(row)
}
