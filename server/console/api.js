// The server's HTTPS API: GET /v1/admin/... and the commands. The session is a cookie that no script can read; what every command needs besides is the
// token that came with it.
import { useCallback, useEffect, useRef, useState } from "./lib.js";

/** An answer that is no success, as RFC 9457 tells it. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered with ${status}.`);
    this.status = status;
    this.code = body.code || "";
    this.title = body.title || "";
  }
}

let csrf = "";
let ended = () => {};

/** Whom to call when the session is over. */
export function onEnded(f) {
  ended = f;
}

export function setSession(session) {
  csrf = session ? session.csrf : "";
}

// Integers have 64 bits and a double has 53: those that would lose some stay whole.
function whole(_, value, context) {
  if (typeof value !== "number" || Number.isSafeInteger(value) || !context || !/^-?\d{16,}$/.test(context.source)) return value;
  return BigInt(context.source);
}

async function answer(response) {
  const text = await response.text();
  let body = {};
  try {
    body = text ? JSON.parse(text, whole) : {};
  } catch {
    body = { detail: `The server's answer cannot be read (status ${response.status}).` };
    if (response.ok) throw new Problem(response.status, body);
  }
  if (response.ok) return body;
  if (response.status === 401 && csrf) ended();
  throw new Problem(response.status, body);
}

async function send(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Problem(0, { code: "E_NETWORK", detail: "The server cannot be reached." });
  }
}

const ask = async (path, options) => answer(await send(path, options));

/** Saves what an address answers as a file; a browser's own download would not tell why there is none. */
export async function save(path, name) {
  const response = await send(path, {});
  if (!response.ok) await answer(response);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

export function address(path, params = {}) {
  const kept = Object.entries(params).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return `/v1/admin/${path}${kept.length ? `?${new URLSearchParams(kept)}` : ""}`;
}

export const get = (path, params, signal) => ask(address(path, params), { signal });

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (csrf) headers["X-CSRF-Token"] = csrf;
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** What is shown may be otherwise now: everything is asked again. */
export const acted = () => dispatchEvent(new Event("acted"));

/** A command of satchelctl's, by its name and with the members of its request. */
export const command = (name, request = {}) => post(`/v1/admin/commands/${name}`, request);
export const session = () => ask("/v1/session");
export const login = (name, password) => post("/v1/login", { name, password });
export const logout = () => post("/v1/logout", {});

/**
 * What a path answers, asked again when path or parameters change, when something was done (acted), and every `every` milliseconds while the page is looked
 * at. What was there stays until the new answer is. path null: nothing is asked.
 */
export function useData(path, params = {}, every = 0) {
  const [state, set] = useState({ data: null, problem: null, loading: Boolean(path), of: null });
  const asked = useRef(null);
  const key = path === null ? null : address(path, params);
  const load = useCallback(() => {
    if (key === null) return undefined;
    if (asked.current) asked.current.abort();
    const mine = (asked.current = new AbortController());
    set((s) => ({ ...s, loading: true }));
    return ask(key, { signal: mine.signal }).then(
      (data) => mine === asked.current && set({ data, problem: null, loading: false, of: key }),
      (problem) => mine === asked.current && !mine.signal.aborted && set((s) => ({ ...s, problem, loading: false, of: key })),
    );
  }, [key]);
  useEffect(() => {
    load();
    const timer = every ? setInterval(() => document.visibilityState === "visible" && load(), every) : 0;
    addEventListener("acted", load);
    return () => {
      removeEventListener("acted", load);
      clearInterval(timer);
      if (asked.current) asked.current.abort();
    };
  }, [load, every]);
  // What is there until the new is asked for is of another address.
  return { ...state, loading: state.loading || state.of !== key, reload: load };
}
