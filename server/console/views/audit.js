// Who did what, and whether the log is whole.
import { html, useState } from "../lib.js";
import { command } from "../api.js";
import { count } from "../format.js";
import { Badge, Head, Time, Trouble, useMay } from "../parts.js";
import { Table } from "../table.js";

function Verify() {
  const [state, set] = useState({});
  const verify = () => {
    set({ busy: true });
    command("audit.verify").then((reply) => set({ reply }), (problem) => set({ problem }));
  };
  return html`<button type="button" disabled=${state.busy} onClick=${verify}>${state.busy ? "Verifying…" : "Verify the chain"}</button>
    ${state.reply && html`<span role="status"><${Badge} word=${state.reply.wrong ? "not whole" : "whole"} tone=${state.reply.wrong ? "bad" : "good"} /> ${
      state.reply.wrong ? state.reply.words : `${count(state.reply.rows)} rows, each fits the one before`}</span>`}
    <${Trouble} problem=${state.problem} />`;
}

export default function Audit({ route }) {
  const may = useMay("admin");
  return html`<${Head} title="Audit">${may && html`<${Verify} />`}<//>
    <${Table} path="audit" caption="Who did what" sort="-id" live=${10000} link="at_ms" query=${route.query}
      filters=${[{ name: "actor", label: "Who", hint: "user:ann" }, { name: "action", label: "What", hint: "device.wipe" }, { name: "code", label: "Code", hint: "E_..." }]}
      columns=${[{ name: "id", title: "No.", right: true, show: (a) => String(a.id) }, { name: "at_ms", title: "When", down: true, show: (a) => html`<${Time} ms=${a.at_ms} />` }, { name: "actor", title: "Who" },
        { name: "action", title: "What", show: (a) => html`<code>${a.action}</code>` }, { name: "subject", title: "Of", show: (a) => html`<code>${a.subject}</code>`, class: "wide" },
        { name: "code", title: "End", show: (a) => html`<${Badge} word=${a.code || "done"} tone=${a.code ? "bad" : "good"} />` }, { name: "peer", title: "From" },
        { name: "hash", title: "Hash", sort: false, show: (a) => html`<code title=${a.hash}>${a.hash.slice(0, 12)}…</code>` }]} />`;
}
