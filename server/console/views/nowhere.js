// An address that leads nowhere.
import { html } from "../lib.js";
import { Head } from "../parts.js";
import { href } from "../router.js";

export default function Nowhere({ route }) {
  return html`<${Head} title="Nothing here" /><p>There is no view “${route.view}”. <a href=${href("overview")}>To the overview</a></p>`;
}
