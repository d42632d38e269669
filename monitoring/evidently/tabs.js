// The tabs at the head of a project's dashboard, and the way back to the front page; Evidently's own script comes after them.
(() => {
  const WIDEST_NUMBER = 30 // pixels; a number of five figures is as wide, and fits
  const told = JSON.parse(document.getElementById('whence-told').textContent)
  const bar = document.getElementById('whence')
  const style = document.createElement('style')
  style.textContent = `
    #whence{position:sticky;top:0;z-index:1050;display:flex;flex-wrap:wrap;gap:2px 4px;align-items:center;padding:6px 16px;
      font:14px/1.4 system-ui,sans-serif;background:#fff;color:#333;border-bottom:1px solid #d8d8d8}
    #whence a{color:inherit;text-decoration:none;padding:5px 12px;border-radius:8px}
    #whence a:hover{background:rgba(128,128,128,.18)}
    #whence a[aria-current]{background:#c00;color:#fff}
    #whence a:focus-visible{outline:2px solid currentColor;outline-offset:1px}
    #whence .home{font-weight:600;margin-right:8px}
    .dark #whence{background:#121212;color:#e8e8e8;border-color:#444}
    #root .MuiChartsLegend-root,#root :has(>.MuiTable-root){overflow:auto}#root .MuiTableCell-root{text-align:left}
    @media(max-width:700px){
      #root header .MuiToolbar-root>.MuiLink-root{display:none}#root .MuiGrid-root{min-width:0;overflow-wrap:anywhere}
      #root .MuiStack-root:has(>.MuiBox-root>.MuiBreadcrumbs-root){flex-direction:column;align-items:stretch}
      #root .MuiTabs-flexContainer{flex-wrap:wrap}#root .MuiTabs-scroller{white-space:normal}
      #root .MuiStack-root:has(>.MuiBox-root>.MuiChartsLegend-root){flex-direction:column}
      #root .MuiBox-root:has(>.MuiChartsLegend-root){max-width:none}
      #root .MuiChartsLegend-root{flex-flow:row wrap;height:auto;gap:4px 12px}
    }`
  document.head.append(style)

  const link = (text, to) => {
    const made = document.createElement('a')
    made.textContent = text
    made.href = to
    return made
  }
  const draw = () => {
    const [, project, more] = location.pathname.match(/^\/projects\/([0-9a-f-]{36})\/?(.*)$/) ?? []
    const tabs = told.tabs[project] ?? []
    const now = new URLSearchParams(location.search).get('tab')
    if (tabs.length && !more && !now) return location.replace(`/projects/${project}?tab=${encodeURIComponent(tabs[0])}`)
    const home = link('whence', told.front)
    home.className = 'home'
    const each = tabs.map((tab) => {
      const made = link(tab, `/projects/${project}?tab=${encodeURIComponent(tab)}`)
      if (tab === now && !more) made.setAttribute('aria-current', 'page')
      return made
    })
    bar.replaceChildren(home, ...each)
  }
  for (const name of ['pushState', 'replaceState']) {
    const before = history[name].bind(history)
    history[name] = (...given) => {
      before(...given)
      draw()
    }
  }
  addEventListener('popstate', draw)
  draw()

  // The plots measure every label in this span, and cut off what is wider than its place: of 0.0012 that left 0.0…, and there is room
  // beside the place.
  const ruler = document.createElement('span')
  ruler.id = 'mui_measurement_span'
  ruler.ariaHidden = true
  ruler.getBoundingClientRect = () => {
    const { width, height } = Element.prototype.getBoundingClientRect.call(ruler)
    return { width: /^[-\d.,]+$/.test(ruler.textContent) ? Math.min(width, WIDEST_NUMBER) : width, height }
  }
  document.body.append(ruler)

  requestAnimationFrame(() =>
    setTimeout(() => {
      for (const src of told.app) document.head.append(Object.assign(document.createElement('script'), { type: 'module', src }))
    })
  )
})()
