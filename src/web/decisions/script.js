"use strict";
// Speaks to the passkey and puts what it says into the form, which then goes the way of any form.
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => {
    const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
    return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const said = document.querySelector("#said");
  const forms = [...document.querySelectorAll("form[data-challenge]")];
  if (!said || !forms.length) return;
  if (!window.PublicKeyCredential) {
    said.textContent = "This browser has no passkeys, or the page was not reached over https. Open it in another browser.";
    return;
  }
  const busy = (on) => document.querySelectorAll("button").forEach((button) => { button.disabled = on; });

  const sign = async ({ challenge, party }) => {
    const found = await navigator.credentials.get({
      publicKey: { challenge: bytes(challenge), rpId: party, userVerification: "required", timeout: 300000 },
    });
    const { clientDataJSON, authenticatorData, signature, userHandle } = found.response;
    return {
      credential: text(found.rawId),
      client_data: text(clientDataJSON),
      authenticator_data: text(authenticatorData),
      signature: text(signature),
      user: userHandle ? text(userHandle) : "",
    };
  };

  const make = async ({ challenge, party, user, name, algorithms, known }) => {
    const made = await navigator.credentials.create({
      publicKey: {
        challenge: bytes(challenge),
        rp: { id: party, name: "countersign" },
        user: { id: bytes(user), name, displayName: name },
        pubKeyCredParams: algorithms.split(" ").map((alg) => ({ type: "public-key", alg: Number(alg) })),
        excludeCredentials: known.split(" ").filter(Boolean).map((id) => ({ type: "public-key", id: bytes(id) })),
        authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
        attestation: "none",
        timeout: 300000,
      },
    });
    return { client_data: text(made.response.clientDataJSON), attestation: text(made.response.attestationObject) };
  };

  const why = (error) => {
    if (error.name === "InvalidStateError") return "This device holds a passkey of yours already.";
    if (error.name === "NotAllowedError") return "The passkey was not used: no passkey for this page on this device, called off, or too slow. Nothing was done.";
    return `The passkey could not be used (${error.name}). Nothing was done.`;
  };

  for (const form of forms) {
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      said.textContent = "";
      busy(true);
      try {
        const fields = await (form.dataset.algorithms ? make : sign)(form.dataset);
        for (const [name, value] of Object.entries(fields)) form.elements.namedItem(name).value = value;
        form.submit();
      } catch (error) {
        said.textContent = why(error);
        busy(false);
      }
    });
  }
  // Back from the next page: the buttons are as they were left.
  addEventListener("pageshow", () => busy(false));
})();
