// Light or dark: the system's choice, or that of whoever pressed the switch, kept in this browser.
const KEY = "satchel.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // a browser that keeps nothing
  }
}

let chosen = kept();

export const isDark = () => (chosen ? chosen === "dark" : dark.matches);

function apply() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  dispatchEvent(new Event("theme"));
}

export function switchTheme() {
  chosen = isDark() ? "light" : "dark";
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // It holds until the page is left.
  }
  apply();
}

dark.addEventListener("change", apply);
apply();
