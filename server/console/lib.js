// What every module draws with: Preact, its hooks, and templates instead of JSX. Text in a template is text: nothing of a device's ever becomes HTML.
import { h, render, createContext, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { render, createContext, Fragment };
export { useState, useEffect, useLayoutEffect, useRef, useContext, useMemo, useCallback } from "./vendor/hooks.js";
export const html = htm.bind(h);
