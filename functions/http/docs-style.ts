/** The reference's style sheet; its digest is in the page's policy, so it may not be written inline anywhere else. */
export const docsStyle = `
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #ffffff; --panel: #f5f6f8; --line: #dfe3e8; --link: #1f5fa8; --code: #eef0f3; --get: #1f6f4a; --post: #1f5fa8; --put: #8a5a00; --patch: #8a5a00; --delete: #a32a2a }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa6b5; --paper: #14181e; --panel: #1a1f27; --line: #2d3540; --link: #7db4f0; --code: #222933; --get: #6fcf9f; --post: #7db4f0; --put: #e0b060; --patch: #e0b060; --delete: #f08a8a } }
* { box-sizing: border-box }
html { scroll-padding-top: 1rem; -webkit-text-size-adjust: 100% }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; display: grid; grid-template-columns: 17rem minmax(0, 1fr) }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.5rem 1rem 2rem 1.5rem; background: var(--panel); border-right: 1px solid var(--line); font-size: .875rem; line-height: 1.5 }
nav strong { display: block; font-size: 1rem } nav .version { color: var(--soft) }
nav h2 { margin: 1.25rem 0 .25rem; font-size: .75rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); border: 0; padding: 0 }
nav ul { list-style: none; margin: 0; padding: 0 } nav li { padding: .1rem 0 } nav a { color: inherit }
main { padding: 2.5rem clamp(1.25rem, 4vw, 4rem) 6rem; max-width: 62rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em }
h2 { font-size: 1.5rem; line-height: 1.3; margin: 3.5rem 0 .5rem; padding-top: 1.5rem; border-top: 1px solid var(--line) }
h3 { font-size: 1.125rem; line-height: 1.4; margin: 0 } h4 { font-size: .875rem; margin: 1.25rem 0 .35rem; color: var(--soft) }
p { margin: .5rem 0; max-width: 44rem } .lead { font-size: 1.125rem; color: var(--soft) }
article { margin: 1.75rem 0; padding: 1.25rem 1.5rem 1.5rem; border: 1px solid var(--line); border-radius: .5rem }
article:target { border-color: var(--link); box-shadow: 0 0 0 1px var(--link) }
.route { font: .875rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; margin: .35rem 0 .25rem; overflow-wrap: anywhere }
.method { display: inline-block; min-width: 3.6rem; font-weight: 700 } .get { color: var(--get) } .post { color: var(--post) } .put { color: var(--put) } .patch { color: var(--patch) } .delete { color: var(--delete) }
.access { color: var(--soft); font-size: .875rem; margin: 0 }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.5 }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); padding: .35rem .75rem .35rem 0 }
td { vertical-align: top; border-bottom: 1px solid var(--line); padding: .4rem .75rem .4rem 0; overflow-wrap: anywhere } td:first-child { white-space: nowrap }
tr:last-child td { border-bottom: 0 } .required { color: var(--delete) } .rule { color: var(--soft) }
code { font: .85em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--code); padding: .1em .3em; border-radius: .25em }
td:first-child code { background: none; padding: 0 }
pre { margin: .35rem 0 0; padding: .9rem 1rem; background: var(--panel); border: 1px solid var(--line); border-radius: .375rem; overflow-x: auto; font-size: .8125rem; line-height: 1.5 } pre code { background: none; padding: 0; font-size: 1em }
@media (max-width: 52rem) { body { display: block } nav { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--line) } nav ul { columns: 2 } main { padding-top: 1.5rem } }
@media print { nav { display: none } body { display: block } article { break-inside: avoid } }
`
