"""What surrounds every page: navigation, the side bar, and the doors while there is no project."""

import streamlit as st

from castle_core.errors import CastleError
from ui.doors import doors, open_finished_demo, show_dialog
from ui.job_panel import jobs_panel
from ui.machine_panel import machine_panel
from ui.people import user_panel
from ui.project_chooser import open_project, project_panel, settle_project
from ui.words import plain
from ui.written_panel import take_green_line_away

PAGES = [
    ("pages/extract_frames.py", "Extract frames", ":material/photo_library:"),
    ("pages/label_export.py", "Label export", ":material/label:"),
    ("pages/track_rois.py", "Track ROIs", ":material/draw:"),
    ("pages/extract_latent.py", "Extract latent", ":material/scatter_plot:"),
    ("pages/inspector.py", "Inspector", ":material/query_stats:"),
]


def main() -> None:
    """Run one page with all that surrounds it."""
    st.set_page_config(page_title="Castle Studio", page_icon="🏰", layout="wide", initial_sidebar_state="auto")
    st.html(_STYLE)
    page = st.navigation(
        [st.Page(path, title=title, icon=icon, default=i == 0) for i, (path, title, icon) in enumerate(PAGES)]
    )
    if (folder := open_finished_demo()) is not None:
        open_project(folder)
    project = settle_project()
    path = str(project.path) if project else None
    with st.sidebar:
        project_panel(project)
        st.divider()
        jobs_panel(path)
        st.divider()
        machine_panel(path)
        user_panel()
    show_dialog()
    if project is None:
        doors()
        return
    if page.title != PAGES[0][1]:
        take_green_line_away()
    try:
        page.run()
    except CastleError as error:
        st.error(plain(str(error)), icon=":material/error:")
        st.button("Try again", key="page-again")


_STYLE = """<style>
[data-testid="stMainBlockContainer"]{padding:2.25rem 2.5rem 4rem;max-width:1720px}
.st-key-source button{padding:.25rem .7rem;min-height:2rem;height:auto;max-width:100%}
.st-key-source button p{font-size:.8125rem;white-space:normal;text-align:left}
.st-key-source button *{white-space:normal}
[data-testid="stMain"] [data-testid="stCaptionContainer"]{opacity:.9;color:inherit}
button[data-variant="segmented_control"],button[data-variant="pills"]{color:inherit!important}
[data-testid="stSidebar"] hr{margin:.25rem 0 .5rem}
[data-testid="stSidebar"] [data-testid="stCaptionContainer"]{opacity:1}
.st-key-canvas-tools>.st-key-canvas-tool,.st-key-canvas-tool>*{max-width:100%}
:is(.st-key-canvas-tool,.st-key-track-where,.st-key-inspector-which) [role=radiogroup]{flex-wrap:wrap;overflow:visible}
.st-key-machine-panel p{font-variant-numeric:tabular-nums}
.castle-histogram{height:2.2rem;margin:0 .35rem;display:flex;align-items:flex-end;gap:1px;border-bottom:1px solid #8888}
.castle-histogram i{flex:1}.castle-histogram .above{background:#10827a}.castle-histogram .below{background:#8a9694}
.castle-download{display:flex;justify-content:center;align-items:center;gap:.4rem;overflow-wrap:anywhere;
padding:.5rem .9rem;border:1px solid #8886;border-radius:.5rem;
color:inherit!important;text-decoration:none!important}
.castle-download:hover{border-color:#0f766e}
.castle-download,.st-key-user-panel a{font-size:.875rem}.st-key-user-panel a{color:inherit!important}
.castle-download::before{content:"download" / "";font:1.25rem/1 "Material Symbols Rounded";font-feature-settings:"liga"}
:is(.st-key-canvas-tool,.st-key-inspector-layout,.st-key-inspector-colour) button{min-height:2.5rem}
.castle-drawn{width:100%;border-radius:.5rem;display:block}
.st-key-latent-presets button{padding:.25rem .4rem}
.st-key-latent-presets button *{white-space:normal;overflow:visible}.st-key-latent-presets button p{font-size:.8125rem}
[data-testid="stSelectbox"] label,[data-testid="stSelectbox"] label p{color:inherit!important}
.castle-check{width:100%;border-collapse:collapse;font-size:.875rem}
.castle-check :is(th,td){text-align:left;vertical-align:top;padding:.4rem .75rem .4rem 0;border-bottom:1px solid #8884}
.castle-check td{overflow-wrap:break-word}.castle-check td:last-child{overflow-wrap:anywhere;min-width:10rem}
.castle-check td:nth-child(n+2):not(:last-child){white-space:nowrap}.castle-check th{font-weight:400;opacity:.8}
.castle-check td b{font-weight:600;font-size:.8125rem;color:#fff;background:#566562}
.castle-check td b{border-radius:1rem;padding:.1rem .6rem}
.castle-check .problem{background:#b42318!important}.castle-check .warning{background:#8a5300!important}
.castle-check .ready{background:#0f766e!important}
.tall:has(>.castle-check){max-height:28rem;overflow:auto}
@media(max-width:640px){.castle-check thead{display:none}
.castle-check :is(tr,td){display:block;border:0;padding:.1rem 0}
.castle-check tr{padding:.5rem 0;border-bottom:1px solid #8884}.castle-check td:empty{display:none}
.castle-check td:nth-child(n+3)::before{content:attr(data-head) ": ";opacity:.8}.castle-check br{display:none}}
[class*="st-key-cols-"]>*>[data-testid="stHorizontalBlock"]{flex-wrap:wrap}
[class*="st-key-cols-"]>*>[data-testid="stHorizontalBlock"]>[data-testid="stColumn"]{flex:1 1 var(--least);min-width:0}
[class*="st-key-cols-"]>*>*>[data-testid="stColumn"]:first-child{flex-grow:var(--grow,1)}
.st-key-cols-even{--least:15.5rem}.st-key-cols-label{--least:19rem;--grow:1.4}.st-key-cols-list{--least:13rem}
.st-key-cols-list>*>*>[data-testid="stColumn"]:last-child{flex:4 1 30rem}
.st-key-cols-canvas{--least:12rem;--grow:2.3}
.st-key-cols-canvas>*>*>[data-testid="stColumn"]:first-child{flex-basis:38rem}
.castle-files{list-style:none;margin:0!important;padding:0!important;max-height:18rem;overflow:auto;font-size:.8125rem}
.st-key-latent-notes p{overflow-wrap:anywhere}
.castle-files li{margin:0 0 .4rem!important;overflow-wrap:anywhere}.castle-files b{font-weight:600;display:block}
.castle-checks.castle-checks{list-style:none;margin:0;padding:0;display:grid;gap:1rem;
grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr))}
.castle-checks>li{margin:0;border:1px solid #8886;border-radius:.6rem;overflow:hidden}
.castle-checks img{width:100%;display:block;aspect-ratio:4/3;object-fit:contain;background:#8882}
.castle-checks p{margin:.5rem .75rem .25rem;font-weight:600;font-size:.875rem;overflow-wrap:anywhere}
.castle-checks ul{margin:0 .75rem .6rem;padding-left:1.1rem;font-size:.8125rem}
</style>"""
