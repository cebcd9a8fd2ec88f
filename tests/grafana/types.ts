// A dashboard as Grafana's published types have it, panel by panel. They are written for programs: where they want an enum, a JSON
// file has its value, and where they leave open what a panel's options are, each kind of panel has its own.
import type * as grafana from "@grafana/schema";
import type * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
// Later versions keep the query of a data source with its plugin.
import type { PrometheusDataQuery } from "grafana-10/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen";

/** The value of an enum in place of the enum, however deep; what anything goes for stays so. */
type Json<T> = T extends string
  ? `${T}`
  : T extends number
    ? number extends T
      ? number
      : `${T}` extends `${infer N extends number}`
        ? N
        : never
    : T extends boolean | null | undefined
      ? T
      : T extends readonly (infer E)[]
        ? Json<E>[]
        : T extends object
          ? { [K in keyof T]: Json<T[K]> }
          : T;

/** Without the keys that anything may have. */
type Named<T> = { [K in keyof T as string extends K ? never : K]: T[K] };

/** An override sets what `id` says to a value of its own kind. */
type Fields<Custom> = {
  defaults: Omit<grafana.FieldConfig, "custom" | "mappings"> & { custom?: Partial<Custom>; mappings?: Mapping[] };
  overrides: {
    matcher: { id: "byName" | "byRegexp" | "byType" | "byFrameRefID"; options: string };
    properties: { id: keyof Named<grafana.FieldConfig> | `custom.${keyof Named<Custom> & string}`; value: unknown }[];
  }[];
};

type Mapping = grafana.ValueMap | grafana.RangeMap | grafana.RegexMap | grafana.SpecialValueMap;

type Panel<Type extends string, Options, Custom> = Omit<Named<grafana.Panel>, "type" | "options" | "fieldConfig" | "targets"> & {
  id: number;
  type: Type;
  title: string;
  description: string;
  options: Partial<Options>;
  fieldConfig: Fields<Custom>;
  targets: (Named<PrometheusDataQuery> & { refId: string })[];
};

type AnyPanel =
  | (Omit<Named<grafana.RowPanel>, "panels"> & { id: number; type: "row"; title: string; panels: never[] })
  | Panel<"stat", stat.Options, Record<never, never>>
  | Panel<"timeseries", timeseries.Options, timeseries.FieldConfig>
  | Panel<"heatmap", heatmap.Options, heatmap.FieldConfig>
  | Panel<"table", table.Options, table.FieldConfig>;

type Dashboard = Omit<Named<grafana.Dashboard>, "panels" | "id"> & {
  id: null;
  uid: string;
  title: string;
  panels: AnyPanel[];
};

export type Board = Json<Dashboard>;
