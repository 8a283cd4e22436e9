// The address says all: #/devices/12?sort=-lag_ms is a view, a row and how its table is sorted. Whoever has the address sees the same.
import { useEffect, useState } from "./lib.js";

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const segments = path.split("/").filter(Boolean).map(decodeURIComponent);
  return { view: segments[0] || "overview", rest: segments.slice(1), query: Object.fromEntries(new URLSearchParams(query)) };
}

/** The address of a view: href("devices", 12), href(["data", "contact"], { q: "ann" }); what is empty is left out of the query. */
export function href(segments, query = {}) {
  const path = [segments].flat().map((s) => encodeURIComponent(String(s))).join("/");
  const kept = Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return `#/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
}

export const here = () => parse(location.hash);

export function go(to) {
  location.hash = to;
}

/** Changes the query of where one is; as a step of its own in the browser's history unless `quiet`. */
export function setQuery(changes, quiet = false) {
  const { view, rest, query } = here();
  const to = href([view, ...rest], { ...query, ...changes });
  if (quiet) {
    history.replaceState(null, "", to);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    go(to);
  }
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    const changed = () => set(here());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
