// Looks at pages with a real Chromium: node browse.mjs CHROMIUM AXE.JS FOLDER NAME=URL...
//
// Each page in light and dark, at the width of a phone and of a desk: what axe-core finds serious or critical, what the browser
// complains of, what it tried to load, what is cut off or needs scrolling sideways. Screenshots go to FOLDER. Prints a line for each
// thing that is wrong; exit code 1 if there is any. Speaks to the browser by its debugging pipe, so no package but axe-core is needed.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [chromium, axe, folder, ...pages] = process.argv.slice(2);
const WIDTHS = [360, 1280];
const SCHEMES = ["light", "dark"];
const profile = mkdtempSync(join(tmpdir(), "autotune-page-"));
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"];
const browser = spawn(chromium, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
  stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
});
const gone = new Promise((done) => browser.once("exit", done));
async function end() {
  browser.kill("SIGKILL");
  await gone;
  // Its children go a moment after it.
  for (let tries = 0; tries < 50; tries++) {
    try { rmSync(profile, { recursive: true, force: true }); return; } catch { await pause(100); }
  }
}
const late = setTimeout(() => { console.log("the browser did not answer in time"); end().finally(() => process.exit(1)); }, 240_000);

let number = 0, rest = "";
const open = new Map(), heard = [];
browser.stdio[4].on("data", (bytes) => {
  const parts = (rest + bytes).split("\0");
  rest = parts.pop();
  for (const text of parts) {
    const message = JSON.parse(text);
    if (message.id) { open.get(message.id)(message); open.delete(message.id); } else heard.push(message);
  }
});
function send(method, params = {}, sessionId) {
  const id = ++number;
  browser.stdio[3].write(JSON.stringify({ id, method, params, sessionId }) + "\0");
  return new Promise((done, failed) => open.set(id, (answer) => answer.error ? failed(new Error(`${method}: ${answer.error.message}`)) : done(answer.result)));
}
const pause = (millis) => new Promise((done) => setTimeout(done, millis));
async function until(what, check) {
  for (let tries = 0; tries < 200; tries++) { const found = await check(); if (found) return found; await pause(50); }
  throw new Error(`${what} did not happen`);
}

const { targetId } = await send("Target.createTarget", { url: "about:blank" });
const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
const ask = (method, params) => send(method, params, sessionId);
async function evaluate(expression) {
  const { result, exceptionDetails } = await ask("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
  if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
  return result.value;
}
for (const domain of ["Page", "Log", "Network", "Runtime"]) await ask(`${domain}.enable`);

const wrong = [];
const source = readFileSync(axe, "utf8");
async function look(name, url, scheme, width) {
  const at = `${name} ${scheme} ${width}`;
  heard.length = 0;
  await ask("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 });
  await ask("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  // Standing still: a page that is loaded anew meanwhile cannot be looked at.
  await ask("Page.navigate", { url: `${url}?refresh=off` });
  await until(`${at}: loading`, () => heard.some((message) => message.method === "Page.loadEventFired"));
  const wide = await evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
  if (wide > 0) wrong.push(`${at}: ${wide} px wider than the screen`);
  const height = await evaluate("Math.min(document.documentElement.scrollHeight, 8000)");
  const shot = await ask("Page.captureScreenshot", { captureBeyondViewport: true, clip: { x: 0, y: 0, width, height, scale: 1 } });
  writeFileSync(join(folder, `${name}-${scheme}-${width}.png`), Buffer.from(shot.data, "base64"));
  await ask("Input.dispatchKeyEvent", { type: "keyDown", key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
  const outline = await evaluate("getComputedStyle(document.activeElement).outlineStyle");
  if (outline === "none") wrong.push(`${at}: what has the focus is not seen`);
  // Complaints up to here are the page's own; axe-core tries things that the page's policy forbids.
  for (const { method, params } of heard) {
    if (method === "Log.entryAdded") wrong.push(`${at}: the browser says: ${params.entry.text}`);
    if (method === "Runtime.consoleAPICalled") wrong.push(`${at}: a script wrote to the console`);
    if (method === "Network.requestWillBeSent" && params.request.url.split("?")[0] !== url) wrong.push(`${at}: it asked for ${params.request.url}`);
    if (method === "Page.javascriptDialogOpening") wrong.push(`${at}: a script opened a dialog`);
  }
  await evaluate(source);
  const found = await evaluate(`axe.run(document, { resultTypes: ["violations"] }).then((result) => result.violations.map(
    ({ id, impact, help, nodes }) => ({ id, impact, help, where: nodes.slice(0, 3).map((node) => node.html + " " + (node.failureSummary ?? "")) })))`);
  for (const { id, impact, help, where } of found) {
    const line = `${at}: ${impact}: ${id}: ${help}: ${where.join(" | ")}`;
    if (["serious", "critical"].includes(impact)) wrong.push(line); else console.log(`only ${line}`);
  }
}

// It is loaded anew by itself, and the reader stays where he was.
async function stay(name, url) {
  await ask("Emulation.setDeviceMetricsOverride", { width: 360, height: 500, deviceScaleFactor: 1, mobile: false });
  heard.length = 0;
  await ask("Page.navigate", { url });
  const loads = () => heard.filter((message) => message.method === "Page.loadEventFired").length;
  await until(`${name}: loading`, () => loads() > 0);
  await evaluate("scrollTo(0, 300)");
  await until(`${name}: loading anew`, async () => { await pause(50); return loads() > 1; });
  await pause(200);
  const top = await evaluate("scrollY");
  if (Math.abs(top - 300) > 1) wrong.push(`${name}: loaded anew, the reader is at ${top} instead of 300`);
}

try {
  for (const page of pages) {
    const [name, url] = page.split(/=(.*)/);
    for (const scheme of SCHEMES) for (const width of WIDTHS) await look(name, url, scheme, width);
  }
  // The last page's daemon changes nothing meanwhile: of a page that grows above him, the reader keeps what he reads, not the place.
  const [name, url] = pages.at(-1).split(/=(.*)/);
  await stay(name, url);
} catch (error) {
  wrong.push(String(error));
}
clearTimeout(late);
await end();
for (const line of wrong) console.log(line);
process.exit(wrong.length > 0 ? 1 : 0);
