/* segadmin: what pages gain with script. Every page and form works without it; nothing is kept in the browser. */
(() => {
	"use strict";
	const all = (selector, root = document) => [...root.querySelectorAll(selector)];
	const say = (text) => {
		const region = document.getElementById("announce");
		if (region) { region.textContent = ""; setTimeout(() => { region.textContent = text; }, 50); }
	};

	/* Refresh. An element with data-poll-seconds gets the event "poll" (hx-trigger="poll") at that pace, but only
	   while the page is in sight, not paused, and nobody is typing, choosing or selecting in it. */
	let paused = false;
	const due = new WeakMap();
	const pace = (element) => Math.max(2, element.dataset.pollSeconds || 10) * 1000;
	const busy = (element) => {
		const at = document.activeElement, chosen = getSelection();
		return (element.contains(at) && at.matches("select, textarea, input:not([type=checkbox], [type=radio])"))
			|| document.querySelector("dialog[open], details.menu[open]")
			|| (chosen && !chosen.isCollapsed && element.contains(chosen.anchorNode))
			|| element.matches(".htmx-request");
	};
	const poll = (now) => {
		for (const element of all("[data-poll-seconds]")) {
			if (!due.has(element)) due.set(element, now + pace(element));
			if (due.get(element) > now || paused || document.hidden || busy(element)) continue;
			due.set(element, now + pace(element));
			element.dispatchEvent(new CustomEvent("poll", { bubbles: true }));
		}
	};
	setInterval(() => poll(Date.now()), 1000);
	document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(Date.now()); });
	const pause = (button) => {
		paused = !paused;
		for (const each of all("[data-poll-toggle]")) each.setAttribute("aria-pressed", String(paused));
		for (const note of all("[data-poll-note]")) note.textContent = paused ? button.dataset.paused : "";
		if (!paused) for (const element of all("[data-poll-seconds]")) due.set(element, 0);
	};

	/* The answer's HX-Trigger {"asof": {id: text}} moves the stamps without touching the rows. */
	document.addEventListener("asof", (event) => {
		for (const [id, text] of Object.entries(event.detail)) {
			const stamp = typeof text === "string" && document.getElementById(id);
			if (stamp) stamp.textContent = text;
		}
	});

	/* A swapped row must not drop the keyboard's place: the link with the same address gets the focus back. */
	let held = null;
	const hold = () => { const at = document.activeElement; held = at && !at.id && at.getAttribute("href"); };
	for (const name of ["htmx:beforeSwap", "htmx:oobBeforeSwap"]) document.addEventListener(name, hold);

	/* Distances from now, by the server's clock. */
	const root = document.documentElement, skew = root.dataset.now * 1000 - Date.now();
	const rough = (s) => s < 45 ? "" : s < 3570 ? `${Math.max(1, Math.round(s / 60))} min`
		: s < 171000 ? `${Math.max(1, Math.round(s / 3600))} h` : `${Math.round(s / 86400)} days`;
	const age = () => {
		for (const time of all("time[data-ago]")) {
			const s = (Date.now() + skew - Date.parse(time.dateTime)) / 1000, words = rough(Math.abs(s));
			time.textContent = !words ? "just now" : s > 0 ? `${words} ago` : `in ${words}`;
		}
	};
	if (root.lang === "en" && skew) setInterval(age, 60000);

	/* Copy. [data-copy] gets a button beside it; button[data-copy-target] copies the element of that id. */
	const copy = async (source, button) => {
		try {
			await navigator.clipboard.writeText(source.dataset.copy || source.value || source.textContent.trim());
			button.textContent = "Copied"; say("Copied");
		} catch { button.textContent = "Select and copy"; getSelection().selectAllChildren(source); }
		setTimeout(() => { button.textContent = button.dataset.word; }, 2500);
	};

	/* What a new piece of page needs. Safe to run twice. */
	const enhance = () => {
		for (const source of navigator.clipboard ? all("[data-copy]:not([data-ready])") : []) {
			source.dataset.ready = "";
			const button = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
			button.dataset.word = "Copy";
			button.setAttribute("aria-label", `Copy ${source.dataset.copyName || source.textContent.trim().slice(0, 60)}`);
			button.copies = source;
			source.after(button);
		}
		for (const button of all("[data-copy-target]")) { button.hidden = !navigator.clipboard; button.dataset.word ||= button.textContent.trim(); }
		const polls = document.querySelector("[data-poll-seconds]");
		for (const controls of all("[data-poll-controls]")) controls.hidden = !polls;
		for (const button of all("[data-poll-toggle]")) button.setAttribute("aria-pressed", String(paused));
		if (held && document.activeElement === document.body) {
			all("main a[href]").find((link) => link.getAttribute("href") === held)?.focus({ preventScroll: true });
		}
		held = null;
	};

	/* Rows of a formset. */
	const addRow = (button) => {
		const set = button.closest("[data-formset]"), total = set.querySelector("[name$=-TOTAL_FORMS]");
		const holder = document.createElement("template");
		holder.innerHTML = set.querySelector("template[data-formset-empty]").innerHTML.replaceAll("__prefix__", total.value);
		const row = holder.content.firstElementChild;
		set.querySelector("[data-formset-rows]").append(row);
		total.value = Number(total.value) + 1;
		row.querySelector("input:not([type=hidden]), select, textarea")?.focus();
		set.dispatchEvent(new CustomEvent("rows", { bubbles: true }));
	};
	const removeRow = (button) => {
		const row = button.closest("[data-formset-row]"), set = row.closest("[data-formset]");
		const mark = row.querySelector("[name$=-DELETE]");
		row.hidden = true;
		if (mark) mark.checked = true;
		else for (const field of all("input:not([type=hidden]), select, textarea", row)) field.value = "";
		say("Removed");
		set.querySelector("[data-formset-add]")?.focus();
		set.dispatchEvent(new CustomEvent("rows", { bubbles: true }));
	};

	document.addEventListener("click", (event) => {
		const hit = (selector) => event.target.closest?.(selector);
		const button = hit("[data-poll-toggle], [data-formset-add], [data-formset-remove], .copy, [data-copy-target], [data-print]");
		for (const menu of all("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
		if (!button) return;
		if (button.matches("[data-poll-toggle]")) pause(button);
		else if (button.copies) copy(button.copies, button);
		else if (button.dataset.copyTarget) copy(document.getElementById(button.dataset.copyTarget), button);
		else if (button.matches("[data-print]")) print();
		else { event.preventDefault(); (button.matches("[data-formset-add]") ? addRow : removeRow)(button); }
	});

	/* A form marked data-once goes once; coming Back, or an answer that leaves the form in place, gives it back.
	   Attributes, not form.dataset: a field may be named "dataset" and would stand in its place. */
	const lock = (form) => {
		for (const button of all("button:not([type=button]):enabled", form)) {
			button.disabled = true;
			button.dataset.locked = "";
			button.setAttribute("autocomplete", "off"); /* else Firefox keeps it disabled over a reload */
		}
	};
	const unlock = () => {
		for (const form of all("form[data-sent]")) {
			form.removeAttribute("data-sent");
			for (const button of all("button[data-locked]", form)) { button.disabled = false; delete button.dataset.locked; }
		}
	};
	document.addEventListener("submit", (event) => {
		const form = event.target;
		if (!form.matches("[data-once]")) return;
		if (form.hasAttribute("data-sent")) { event.preventDefault(); return; }
		form.setAttribute("data-sent", "");
		setTimeout(() => { if (form.hasAttribute("data-sent")) lock(form); });
		say(form.getAttribute("data-once") || "Sending");
	});
	addEventListener("pageshow", unlock);
	document.addEventListener("htmx:afterRequest", (event) => { if (event.target.matches?.("form[data-sent]")) unlock(); });

	/* What a fold fetches when it is opened and could not get: its link stays, and the next opening tries again. */
	const unread = (event) => {
		const place = event.target.closest?.("details [hx-get]");
		if (place) say((place.querySelector("b") ?? place.appendChild(document.createElement("b"))).textContent = " Could not be loaded. Close and open it to try again.");
	};
	for (const name of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(name, unread);

	/* Select the rows on this page. */
	document.addEventListener("change", (event) => {
		const form = event.target.form ?? event.target.closest("table");
		const head = form?.querySelector("[data-select-all]");
		if (!head) return;
		const boxes = all("tbody .tick [type=checkbox]:not(:disabled)", form);
		if (event.target === head) for (const box of boxes) box.checked = head.checked;
		const ticked = boxes.filter((box) => box.checked).length;
		head.checked = ticked > 0 && ticked === boxes.length;
		head.indeterminate = ticked > 0 && ticked < boxes.length;
	});

	/* j and k go from one row to the next; Enter opens it, as it does anyway. */
	const step = (by) => {
		const rows = all("main details.ev > summary, main .cards tbody th a[href]"), at = document.activeElement;
		const here = rows.findIndex((row) => row.closest("details.ev, tr").contains(at));
		(rows[here + by] ?? (by > 0 ? rows.at(-1) : rows[0]))?.focus();
	};

	/* Ctrl+K always goes to the search (the page's own where it has one); single keys only for who switched them on. */
	const single = { "/": () => search(), j: () => step(1), k: () => step(-1), "?": () => document.getElementById("keys")?.showModal() };
	const search = () => {
		const find = document.querySelector("[data-find]") ?? document.getElementById("find");
		find?.focus(); find?.select();
	};
	document.addEventListener("keydown", (event) => {
		const held = event.ctrlKey || event.metaKey, typing = event.target.matches?.("input, textarea, select");
		if (held && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "k") { event.preventDefault(); search(); }
		else if (!held && !event.altKey && !typing && single[event.key] && "singleKeys" in document.body.dataset && !document.querySelector("dialog[open]")) {
			event.preventDefault(); single[event.key]();
		} else if (event.key === "Escape") {
			const menu = event.target.closest?.("details.menu[open]");
			if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
		}
	});

	/* The session's end is announced five minutes ahead; any tab can put it off for all. */
	const idle = () => {
		const dialog = document.getElementById("idle"), seconds = Number(document.body.dataset.idleSeconds);
		if (!dialog || !seconds) return;
		const form = dialog.querySelector("form"), left = dialog.querySelector("[data-idle-left]");
		const tabs = new BroadcastChannel("segadmin-stay"), warn = Math.min(300, seconds / 2);
		let end;
		const again = () => { end = Date.now() + seconds * 1000; dialog.close(); };
		again();
		tabs.postMessage("stay");
		tabs.onmessage = again;
		setInterval(() => {
			const rest = Math.round((end - Date.now()) / 1000);
			if (rest > warn) return;
			if (!dialog.open) dialog.showModal();
			const words = rest > 90 ? `${Math.round(rest / 60)} minutes left.` : rest > 0 ? "Less than two minutes left." : "The session has ended. Sign in again to go on.";
			if (left.textContent !== words) left.textContent = words;
		}, 1000);
		dialog.addEventListener("cancel", (event) => { event.preventDefault(); form.requestSubmit(); });
		form.addEventListener("submit", async (event) => {
			event.preventDefault();
			try {
				const answer = await fetch(form.action, { method: "POST", body: new FormData(form), redirect: "manual", headers: { Accept: "application/json" } });
				if (answer.status !== 204) throw new Error("signed out");
				again(); tabs.postMessage("stay");
			} catch { location.reload(); }
		});
	};

	const start = () => {
		enhance(); idle();
		const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
		for (const item of all("[data-local-zone]")) {
			item.value = zone; item.textContent = zone;
			item.hidden = !zone || all("[name=zone]", item.form).some((other) => other !== item && other.value === zone);
		}
		document.querySelector("[data-focus]")?.focus();
	};
	if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
	for (const name of ["htmx:afterSettle", "htmx:oobAfterSwap"]) document.addEventListener(name, enhance);
})();
