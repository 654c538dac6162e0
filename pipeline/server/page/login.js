// Sign-in form: posts the token and returns to the page.
import { fetchJson } from "./api.js";

const token = document.getElementById("token");
const enter = document.getElementById("enter");
const problem = document.getElementById("problem");

document.getElementById("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  enter.disabled = true;
  problem.textContent = "";
  try {
    await fetchJson("api/login", { method: "POST", body: { token: token.value.trim() } });
    location.replace(new URL(`./${location.hash}`, document.baseURI));
  } catch (error) {
    problem.textContent = error.status === 401 ? "That is not the token." : error.message;
    token.setAttribute("aria-invalid", "true");
    token.select();
    token.focus();
  } finally {
    enter.disabled = false;
  }
});
token.focus();
