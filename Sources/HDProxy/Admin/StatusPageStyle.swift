// How does the status page look? Few colours, large type, the same in the dark; on a narrow screen each row of a table
// becomes a card of its own.

/// The style of the status page.
enum StatusPageStyle {
    /// As CSS.
    static let text = """
        :root { color-scheme: light dark; --ground: #f6f6f4; --card: #fff; --ink: #1d2024; --soft: #62686f;
          --line: #e3e4e1; --good: #17693a; --good-ground: #e2f2e7; --warn: #7a4d00; --warn-ground: #fdf0d3;
          --bad: #a31621; --bad-ground: #fce4e4; --quiet-ground: #ececea; --link: #1e5aa8 }
        @media (prefers-color-scheme: dark) { :root { --ground: #141619; --card: #1c1f23; --ink: #e7e8ea;
          --soft: #9aa1a9; --line: #2c3036; --good: #86d9a4; --good-ground: #163423; --warn: #f2c46d;
          --warn-ground: #3a2c10; --bad: #ff9a9a; --bad-ground: #43191c; --quiet-ground: #2a2e33; --link: #8fbaf5 } }
        * { box-sizing: border-box }
        body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 84rem; background: var(--ground);
          color: var(--ink); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif }
        header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem .75rem; margin-bottom: 1.25rem }
        h1 { margin: 0; font-size: 1.9rem; letter-spacing: -.02em }
        header p { flex-basis: 100%; margin: 0; color: var(--soft) }
        h2 { margin: 2.25rem 0 .75rem; font-size: 1.25rem; letter-spacing: -.01em }
        h3 { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem .6rem; margin: 0; font-size: 1.1rem }
        section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
          padding: 1rem 1.25rem; margin-bottom: 1rem }
        h3 + table { margin-top: .6rem }
        table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
        table + table { margin-top: 1.5rem }
        th { white-space: nowrap; padding: .3rem .75rem .3rem 0; text-align: left; font-size: .85rem; font-weight: 500;
          color: var(--soft) }
        td { padding: .55rem .75rem .55rem 0; border-top: 1px solid var(--line); vertical-align: baseline }
        code { font: .95em ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: nowrap }
        td > div { overflow-wrap: anywhere }
        small { font-size: .875rem; font-weight: 400; color: var(--soft) }
        .pill { display: inline-block; padding: .05rem .6rem; margin-right: .4rem; border-radius: 1rem;
          font-size: .875rem; font-weight: 500; white-space: nowrap; background: var(--quiet-ground);
          color: var(--soft) }
        .good { background: var(--good-ground); color: var(--good) }
        .warn { background: var(--warn-ground); color: var(--warn) }
        .bad { background: var(--bad-ground); color: var(--bad) }
        .card { margin: 0 0 .75rem; padding: .85rem 1.25rem; border-radius: .75rem; overflow-wrap: anywhere }
        .calm { background: var(--good-ground); color: var(--good) }
        footer { margin-top: 2rem; color: var(--soft); font-size: .9rem }
        nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin-top: .35rem }
        a { color: var(--link) }
        @media (max-width: 46rem) {
          body { padding: 1.25rem 1rem 2rem }
          thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
          table, tbody, tr, td { display: block }
          tr { padding: .6rem 0; border-top: 1px solid var(--line) }
          tr:first-child { border-top: 0; padding-top: 0 }
          td { display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem; padding: .15rem 0; border: 0 }
          code { white-space: normal }
          td > div { min-width: 0 }
          td::before { content: attr(data-title); color: var(--soft); font-size: .9rem }
        }
        """
}
