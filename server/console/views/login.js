// Signing in.
import { html, useRef, useState } from "../lib.js";
import { login } from "../api.js";
import { Field, Head } from "../parts.js";

export default function Login({ enter }) {
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = useRef(null);

  async function submit(event) {
    event.preventDefault();
    const given = new FormData(form.current);
    setBusy(true);
    setProblem(null);
    try {
      enter(await login(given.get("name"), given.get("password")));
      return;
    } catch (e) {
      setProblem(e);
    }
    setBusy(false);
    form.current.elements.password.select();
  }

  return html`<main class="login"><form ref=${form} onSubmit=${submit}>
    <img src="/console/icon.svg" alt="" width="48" height="48" />
    <${Head} title="Sign in to Satchel" />
    <${Field} label="Name"><input name="name" autocomplete="username" required autofocus /><//>
    <${Field} label="Password"><input name="password" type="password" autocomplete="current-password" required /><//>
    ${problem && html`<p class="trouble" role="alert">${problem.status === 401 ? "This name and password do not fit." : problem.message}</p>`}
    <button class="primary" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
  </form></main>`;
}
