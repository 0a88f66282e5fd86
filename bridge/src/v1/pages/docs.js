// Shows what openapi.json says, with a form for each operation.

const METHODS = ["get", "post", "delete"];

/** An element with attributes and children; texts stay texts. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Texts with `code` in backquotes. */
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

function resolve(api, schema) {
  if (!schema) return {};
  if (schema.$ref) return resolve(api, api.components.schemas[schema.$ref.split("/").pop()]);
  const variants = schema.oneOf ?? schema.anyOf;
  return variants ? { ...resolve(api, variants.find((one) => one.type !== "null")), nullable: true } : schema;
}

function typeOf(api, schema) {
  const resolved = resolve(api, schema);
  const types = [resolved.type ?? "any"].flat();
  const names = types.map((type) => (type === "array" ? `list of ${typeOf(api, resolved.items)}` : type));
  if (resolved.nullable) names.push("null");
  return names.join(" or ");
}

function fields(api, schema, caption) {
  const { properties = {}, required = [] } = resolve(api, schema);
  const rows = Object.entries(properties).map(([name, field]) =>
    make("tr", {},
      make("td", {}, make("code", {}, name), required.includes(name) ? "" : " (optional)"),
      make("td", {}, typeOf(api, field)),
      make("td", {}, ...prose(field.description ?? resolve(api, field).description ?? ""))));
  return rows.length ? make("table", {}, make("caption", {}, caption), make("tbody", {}, ...rows)) : "";
}

/** A body to begin with: what must be there, and what has an example. */
function example(api, schema) {
  const resolved = resolve(api, schema);
  if (resolved.examples?.length) return resolved.examples[0];
  if (resolved.type === "array") return [example(api, resolved.items)];
  if (resolved.type === "object" && resolved.properties) {
    const { properties, required = [] } = resolved;
    const wanted = Object.entries(properties).filter(([name, field]) => required.includes(name) || (field.examples && name !== "threshold"));
    return Object.fromEntries(wanted.map(([name, field]) => [name, example(api, field)]));
  }
  return { string: "", integer: resolved.minimum ?? 0, number: 1, boolean: false }[resolved.type] ?? null;
}

async function show(response, output, began) {
  const headers = ["content-type", "x-request-id", "location", "retry-after", "ratelimit"]
    .flatMap((name) => (response.headers.has(name) ? [`${name}: ${response.headers.get(name)}`] : []));
  const head = () => `${response.status} ${response.statusText} · ${Math.round(performance.now() - began)} ms\n${headers.join("\n")}\n\n`;
  output.classList.toggle("bad", !response.ok);
  let text = "";
  const decoder = new TextDecoder();
  for (let reader = response.body?.getReader(); reader;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    output.textContent = head() + text;
  }
  try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON */ }
  output.textContent = head() + text;
}

function form(api, path, method, operation) {
  const parameters = operation.parameters ?? [];
  const inputs = parameters.map((parameter) => [parameter, make("input", { autocomplete: "off", spellcheck: "false" })]);
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const body = schema && make("textarea", { spellcheck: "false" });
  if (body) body.value = JSON.stringify(example(api, schema), null, 2);
  const output = make("pre", { hidden: "", "aria-live": "polite" });
  const send = make("button", { type: "submit" }, "Send");
  const stop = make("button", { type: "button", disabled: "" }, "Hang up");
  const element = make("form", {},
    make("h3", {}, "Try it"),
    ...inputs.map(([{ name, in: place }, input]) => make("label", {}, make("code", {}, name), ` (${place})`, input)),
    ...(body ? [make("label", {}, "Body", body)] : []), send, stop, output);
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = document.getElementById("key").value.trim();
    const headers = { ...(key && { authorization: `Bearer ${key}` }), ...(body && { "content-type": "application/json" }) };
    const query = new URLSearchParams();
    let url = path;
    for (const [{ name, in: place }, { value }] of inputs) {
      if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(value));
      else if (value && place === "query") query.set(name, value);
      else if (value) headers[name] = value;
    }
    if (query.size) url += `?${query}`;
    const hangUp = new AbortController();
    stop.onclick = () => hangUp.abort();
    [send.disabled, stop.disabled, output.hidden, output.textContent] = [true, false, false, "…"];
    const began = performance.now();
    try {
      const response = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value, signal: hangUp.signal });
      await show(response, output, began);
    } catch (error) {
      output.classList.add("bad");
      output.textContent += `\n${error.name === "AbortError" ? "hung up" : error.message}`;
    }
    [send.disabled, stop.disabled] = [false, true];
  });
  return element;
}

function section(api, path, method, operation) {
  const answers = Object.entries(operation.responses).map(([status, { description }]) =>
    make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, ...prose(description))));
  const given = ["200", "201", "202"].map((status) => operation.responses[status]?.content?.["application/json"]?.schema).find(Boolean);
  return make("details", { id: operation.operationId },
    make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path), ...prose(operation.summary ?? "")),
    make("div", { class: "inside" },
      make("p", {}, ...prose(operation.description ?? "")),
      fields(api, operation.requestBody?.content["application/json"]?.schema, "Body"),
      make("table", {}, make("caption", {}, "Answers"), make("tbody", {}, ...answers)),
      fields(api, given, "What is given"),
      path === "/v1/ws" ? make("p", { class: "note" }, "This form cannot speak WebSocket.") : form(api, path, method, operation)));
}

async function start() {
  const api = await (await fetch("/openapi.json")).json();
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const group = item[method].tags?.[0] ?? "more";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(section(api, path, method, item[method]));
    }
  }
  const order = ["work", "service", ...groups.keys()];
  const sorted = [...groups].sort(([one], [other]) => order.indexOf(one) - order.indexOf(other));
  const main = document.getElementById("operations");
  main.replaceChildren(...sorted.flatMap(([group, sections]) => [make("h2", {}, group), ...sections]));
  main.querySelector("details")?.setAttribute("open", "");
}

start().catch((error) => {
  const state = document.getElementById("state");
  state.classList.add("bad");
  state.textContent = `The description cannot be loaded: ${error.message}. Is the server running?`;
});
