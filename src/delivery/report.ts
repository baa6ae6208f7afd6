import type { Comparison } from "./result.js";
import { footLines, headLines, type Row, rowsOf } from "./table.js";

const CHARTS = ["exits per interrupt", "latency p50", "ioctls", "context switches", "host interrupts"];
const BAR = { width: 420, height: 22, gap: 8, label: 130 };

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** The comparison as one self-contained page: the table and bar charts, no script, nothing fetched. */
export function comparisonPage(comparison: Comparison): string {
  const rows = rowsOf(comparison);
  const title = `virq compare: ${comparison.board} ${comparison.device}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark; --bar: #3b78c4; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child { text-align: left; font-weight: normal; white-space: pre; }
thead th { font-weight: 600; }
figure { margin: 1.5rem 0; }
svg text { font: 13px system-ui, sans-serif; fill: currentColor; }
svg rect { fill: var(--bar); }
</style>
</head>
<body>
<h1>${escape(title)}</h1>
${headLines(comparison).map((line) => `<p>${escape(line)}</p>`).join("\n")}
${table(comparison, rows)}
${footLines(comparison).map((line) => `<p>${escape(line)}</p>`).join("\n")}
${rows.filter((row) => CHARTS.includes(row.label)).map((row) => chart(comparison, row)).join("\n")}
</body>
</html>
`;
}

function table(comparison: Comparison, rows: readonly Row[]): string {
  const head = comparison.mechanisms.map((m) => `<th scope="col">${escape(m.mechanism)}</th>`).join("");
  const body = rows.map((row) => {
    const cells = comparison.mechanisms.map((m) => `<td>${escape(m.applicable ? row.value(m) : "-")}</td>`).join("");
    return `<tr><th scope="row">${escape(row.label)}</th>${cells}</tr>`;
  });
  return `<table>\n<thead><tr><th></th>${head}</tr></thead>\n<tbody>\n${body.join("\n")}\n</tbody>\n</table>`;
}

function chart(comparison: Comparison, row: Row): string {
  const bars = comparison.mechanisms.filter((m) => m.applicable).map((m) => ({ name: m.mechanism, text: row.value(m), value: row.number?.(m) ?? 0 }));
  const most = Math.max(...bars.map((bar) => bar.value), 1e-9);
  const lines = bars.map((bar, i) => {
    const y = i * (BAR.height + BAR.gap);
    const width = (bar.value / most) * BAR.width;
    const middle = y + BAR.height * 0.7;
    return `<text x="0" y="${middle}">${escape(bar.name)}</text><rect x="${BAR.label}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}"/><text x="${(BAR.label + width + 6).toFixed(1)}" y="${middle}">${escape(bar.text)}</text>`;
  });
  const size = { width: BAR.label + BAR.width + 100, height: bars.length * (BAR.height + BAR.gap) };
  return `<figure><figcaption>${escape(row.label)}</figcaption><svg role="img" aria-label="${escape(row.label)}" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}">${lines.join("")}</svg></figure>`;
}
