// What must be refused. A line that is not is an error by itself: the directive above it has nothing to expect.
import type { Board } from "./types";

type Panel = Board["panels"][number];
type Of<Type> = Extract<Panel, { type: Type }>;

const panel: Omit<Of<"stat">, "type" | "options"> = { id: 1, title: "t", description: "d", fieldConfig: { defaults: {}, overrides: [] }, targets: [] };
export const right: Panel = { ...panel, type: "stat", options: { colorMode: "value" } };

// @ts-expect-error: no such kind of panel
export const kind: Panel = { ...panel, type: "singlestat", options: {} };
// @ts-expect-error: a misspelt option
export const option: Panel = { ...panel, type: "stat", options: { colourMode: "value" } };
// @ts-expect-error: a value that the option does not have
export const value: Panel = { ...panel, type: "stat", options: { colorMode: "loud" } };
// @ts-expect-error: an option of another kind of panel
export const others: Panel = { ...panel, type: "timeseries", options: { colorMode: "value" } };
// @ts-expect-error: a misspelt key of the panel
export const key: Panel = { ...panel, type: "stat", options: {}, gridpos: { x: 0, y: 0, w: 1, h: 1 } };
// @ts-expect-error: a misspelt key of its place
export const place: Panel = { ...panel, type: "stat", options: {}, gridPos: { x: 0, y: 0, w: 1, height: 1 } };
// @ts-expect-error: a misspelt key of the fields
export const field: Of<"stat">["fieldConfig"] = { defaults: { units: "s" }, overrides: [] };
// @ts-expect-error: a misspelt way to draw
export const custom: Of<"timeseries">["fieldConfig"] = { defaults: { custom: { fillopacity: 10 } }, overrides: [] };
// @ts-expect-error: a query without an expression
export const query: Of<"stat">["targets"] = [{ refId: "A", exp: "up" }];
// @ts-expect-error: a misspelt format
export const format: Of<"stat">["targets"] = [{ refId: "A", expr: "up", format: "timeseries" }];
// @ts-expect-error: a misspelt key of a variable
export const variable: Board["templating"] = { list: [{ name: "queue", type: "query", includeall: true }] };
// @ts-expect-error: a misspelt key of the dashboard
export const board: Board = { id: null, uid: "u", title: "t", schemaVersion: 39, panels: [], tag: [] };
