// Key: asks for the API key where the daemon demands one.

import { ask, key, onRefusedKey } from "./api.js";
import { byId } from "./dom.js";

/** Watches for refusals; `entered()` is called with a key that works. */
export function watchKey(entered) {
  const dialog = byId("key-dialog");
  onRefusedKey(() => {
    if (!dialog.open) dialog.showModal();
  });
  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const error = byId("key-error");
    error.hidden = true;
    key.use(byId("key").value.trim());
    try {
      await ask("/v1/status");
    } catch (refusal) {
      key.forget();
      error.textContent = refusal.status === 401 ? "The daemon does not know this key." : refusal.message;
      error.hidden = false;
      return byId("key").focus();
    }
    byId("key").value = "";
    dialog.close();
    showForget();
    entered();
  });
  byId("forget-key").addEventListener("click", () => {
    key.forget();
    location.reload();
  });
  showForget();
}

function showForget() {
  byId("forget-key").hidden = !key.read();
}
