// The one dialog: it says what will happen, asks for what is needed, does it, and tells what came of it. A failure is told in it, and nothing is lost of what
// was typed.
import { html, useEffect, useRef, useState } from "./lib.js";
import { acted } from "./api.js";
import { count } from "./format.js";
import { Field, Trouble } from "./parts.js";

let open = () => {};
let speak = () => {};

/**
 * Asks before something is done. `title`, `words` (text or a template) say what will happen; `verb` is on the button; `fields`: {name, label, value, type,
 * options, suggest, help, optional, must, rows, autocomplete}: `must` is a text that has to be typed. run(values) does it; done(result) is what to show then (nothing: the dialog closes and
 * `said` is told); then(result) is for who asked. What is shown is asked again, unless `then` leaves for another page: `leaves`.
 */
export function confirm(question) {
  open(question);
}

/**
 * What confirm is to ask for where something is done to each of several things, one after the other: one that fails does not keep the others from it, and it is told which did.
 * run(thing) does it; named(thing) is what it is called. A failure of the only one is the dialog's own, so that it can be tried again.
 */
export function each(things, run, named) {
  return {
    run: async () => {
      const failed = [];
      for (const thing of things) {
        try {
          await run(thing);
        } catch (problem) {
          if (things.length === 1) throw problem;
          failed.push([named(thing), problem.message]);
        }
      }
      return failed;
    },
    done: (failed) => failed.length > 0 && html`<div class="trouble" role="alert"><p>${count(things.length - failed.length)} done, ${count(failed.length)} failed:</p>
      <ul>${failed.map(([name, words]) => html`<li key=${name}>${name}: ${words}</li>`)}</ul></div>`,
  };
}

/** Tells that something was done. */
export function tell(words) {
  speak(words);
}

function Input({ field, value, set }) {
  const common = { name: field.name, value, required: !field.optional, onInput: (e) => set(e.target.value) };
  if (field.options) {
    return html`<select ...${common}>${field.options.map((o) => {
      const [v, words] = Array.isArray(o) ? o : [o, o];
      return html`<option key=${v} value=${v} selected=${v === value}>${words}</option>`;
    })}</select>`;
  }
  if (field.rows) return html`<textarea ...${common} rows=${field.rows} spellcheck=${false}></textarea>`;
  const list = field.suggest ? `suggest-${field.name}` : null;
  return html`<input ...${common} type=${field.type || "text"} step=${field.type === "number" ? "any" : null} list=${list}
    autocomplete=${field.autocomplete || (field.type === "password" ? "new-password" : "off")} />${list && html`<datalist id=${list}>${field.suggest.map((s) => html`<option key=${s} value=${s}></option>`)}</datalist>`}`;
}

function Body({ question, close }) {
  const [values, set] = useState(() => Object.fromEntries((question.fields || []).map((f) => [f.name, f.value ?? ""])));
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [shown, show] = useState(null);
  const missing = (question.fields || []).some((f) => f.must && values[f.name] !== f.must);

  async function submit(event) {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const result = await question.run(values);
      const after = question.done ? question.done(result, values) : null;
      if (after) {
        show(after);
      } else {
        close();
        tell(question.said || "Done.");
      }
      if (question.then) question.then(result);
      if (!question.leaves) acted();
    } catch (e) {
      setProblem(e);
    }
    setBusy(false);
  }

  return html`<form onSubmit=${submit} aria-busy=${busy}>
    <h2 id="dialog-title">${question.title}</h2>
    ${shown || html`
      <div class="words">${typeof question.words === "string" ? html`<p>${question.words}</p>` : question.words}</div>
      ${(question.fields || []).map((f) => html`<${Field} key=${f.name} label=${f.label} help=${f.help}>
        <${Input} field=${f} value=${values[f.name]} set=${(v) => set({ ...values, [f.name]: v })} /><//>`)}
      <${Trouble} problem=${problem} />`}
    <div class="buttons">
      <button type="button" onClick=${close}>${shown ? "Close" : "Cancel"}</button>
      ${!shown && html`<button type="submit" class=${question.danger ? "danger" : "primary"} disabled=${busy || missing}>${busy ? "Working…" : question.verb}</button>`}
    </div>
  </form>`;
}

/** Where the dialog and what is told appear; once, in the shell. */
export function DialogHost() {
  const [question, ask] = useState(null);
  const [said, say] = useState("");
  const at = useRef(null);
  const before = useRef(null);
  useEffect(() => {
    open = (q) => {
      before.current = document.activeElement;
      ask({ ...q, id: Date.now() });
    };
    speak = say;
  }, []);
  // Whoever goes elsewhere has thought better of it.
  useEffect(() => {
    const leave = () => at.current.open && close();
    addEventListener("hashchange", leave);
    return () => removeEventListener("hashchange", leave);
  }, []);
  useEffect(() => {
    if (question && !at.current.open) at.current.showModal();
  }, [question]);
  useEffect(() => {
    const timer = said && setTimeout(() => say(""), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  const close = () => {
    if (at.current.open) at.current.close();
    ask(null);
    if (before.current && before.current.isConnected) before.current.focus();
  };
  return html`
    <dialog ref=${at} aria-labelledby="dialog-title" onCancel=${(e) => { e.preventDefault(); close(); }}>
      ${question && html`<${Body} key=${question.id} question=${question} close=${close} />`}
    </dialog>
    <div class="said" role="status" aria-live="polite">${said && html`<span>${said}</span>`}</div>`;
}
