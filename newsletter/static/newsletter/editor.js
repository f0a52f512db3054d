// The rich text box takes the place of a textarea, but not its label: give it the same name, and
// let a click on the label lead there.
document.addEventListener("prose-editor:ready", ({ detail: { editor, textarea } }) => {
  const label = document.querySelector(`label[for="${textarea.id}"]`);
  label.id = `${textarea.id}_label`;
  editor.view.dom.setAttribute("aria-labelledby", label.id);
  label.addEventListener("click", () => editor.commands.focus());
});
