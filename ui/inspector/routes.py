"""Routes of the Inspector: numbers that are too many for a page's messages, straight to the browser's canvas.

An address names one version of one latent file and is signed for one user, as those of pictures are.
"""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
from anyio import to_thread
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from castle_core.errors import CastleError
from castle_core.inspection import heat_map, scores_window, stand_ins, window_of
from castle_core.inspection.clusters import MAX_CLUSTERS, MISSING
from castle_core.projects import Project
from ui.gate import SESSION_KEY, current_user
from ui.inspector import held
from ui.inspector.held import Held
from ui.sessions import sealed, unseal
from ui.settings import prefix

ENDPOINT = "/api/inspect"
NONE = 65535
MAX_TRACES = 12
MAX_BINS = 2000
_KEPT = {"Cache-Control": "private, max-age=86400", "Vary": "Cookie"}


def base_url(file: Held, *, user: str | None = None) -> str:
    """Return the address below which everything of one latent file lies, signed for `user` (who looks)."""
    return f"{prefix()}{ENDPOINT}/{_key(user or current_user(), file)}"


@functools.lru_cache(maxsize=512)
def _key(user: str, file: Held) -> str:
    return str(sealed(f"inspect {user}").dumps([file.project, file.relative, file.version]))


def export_url(project: Project, name: str, *, user: str | None = None) -> str:
    """Return the address of an exported file in ``exports/latents``, signed for `user`."""
    key = sealed(f"inspect {user or current_user()}").dumps([str(project.path), name, "export"])
    return f"{prefix()}{ENDPOINT}/{key}/export"


def _whole(query: QueryParams, name: str, default: int, low: int, high: int) -> int:
    text = query.get(name, "")
    return min(max(int(text), low), high) if text.isascii() and text.isdigit() and len(text) < 12 else default


def points(file: Held, query: QueryParams) -> Response:
    """Answer with (n, 2) uint16: places on the map, 0..65534; 65535 for frames without one."""
    places = held.layout(file, query.get("kind", "pca"), _whole(query, "x", 0, 0, 31), _whole(query, "y", 1, 0, 31))
    if places is None:
        raise CastleError("There is no UMAP of this file yet.")
    whole = np.where(np.isfinite(places), np.nan_to_num(places) * (NONE - 1), NONE).round().astype("<u2")
    whole[~np.isfinite(places).all(axis=1)] = NONE
    return Response(whole.tobytes(), media_type="application/octet-stream", headers=_KEPT)


def codes(file: Held, query: QueryParams) -> Response:
    """Answer with (n,) uint8: status, cluster, or 0..250 by time or by the value of a channel; 255 for none.

    With every k-th frame, the frames between have what the row has that stands for them.
    """
    summary, by = held.summary(file), query.get("by", "time")
    if by == "status":
        found = summary.status
    elif summary.dim and by == "cluster":
        k, seed = _whole(query, "k", 8, 1, MAX_CLUSTERS), _whole(query, "seed", 0, 0, 2**31 - 1)
        found = held.clusters(file, k, seed).labels
    elif summary.dim and by == "channel":
        channel = _whole(query, "c", 0, 0, summary.dim - 1)
        values = held.channel(file, channel)
        spread = float(summary.spread[channel]) or 1.0
        scaled = np.clip((values - summary.centre[channel]) / (6 * spread) + 0.5, 0, 1)
        found = np.where(summary.valid, np.nan_to_num(scaled) * 250, MISSING).astype(np.uint8)
    else:
        found = (np.arange(summary.n) * 250 // max(1, summary.n - 1)).astype(np.uint8)
    if by != "time":
        found = found[stand_ins(summary.status)]
    return Response(found.tobytes(), media_type="application/octet-stream", headers=_KEPT)


def _stretch(query: QueryParams, n: int) -> tuple[int, int, int]:
    start = _whole(query, "start", 0, 0, n - 1)
    return start, _whole(query, "stop", n, start + 1, n), _whole(query, "bins", 800, 10, MAX_BINS)


def traces(file: Held, query: QueryParams) -> Response:
    """Answer with JSON: ``edges``, and for each of ``names`` (p0 is the first component, c3 channel 3) its range."""
    summary = held.summary(file)
    start, stop, bins = _stretch(query, summary.n)
    lanes = []
    for name in query.get("names", "").split(",")[:MAX_TRACES]:
        kind, number = name[:1], name[1:]
        limit = summary.dim if kind == "c" else summary.scores.shape[1]
        if kind not in ("c", "p") or not (number.isascii() and number.isdigit()) or int(number) >= limit:
            continue
        lanes.append((name, kind, int(number)))
    found = {}
    for wanted in ("c", "p"):
        picked = [(name, number) for name, kind, number in lanes if kind == wanted]
        if not picked:
            continue
        chosen = np.array([number for _, number in picked], np.int64)
        if wanted == "c":
            window = window_of(held.rows(file), summary, start, stop, chosen, bins)
        else:
            window = scores_window(summary, start, stop, chosen, bins)
        for place, (name, _) in enumerate(picked):
            found[name] = {
                "edges": window.edges.tolist(),
                "least": _json(window.least[:, place]),
                "largest": _json(window.largest[:, place]),
            }
    return Response(json.dumps(found), media_type="application/json", headers=_KEPT)


def _json(values: np.ndarray) -> list[float | None]:
    return [round(v, 5) if np.isfinite(v) else None for v in values.tolist()]


def heat(file: Held, query: QueryParams) -> Response:
    """Answer with the heat map of a stretch as a PNG; the header X-Edges tells which frames it really covers."""
    from castle_core.video import encode_png

    summary = held.summary(file)
    start, stop, bins = _stretch(query, summary.n)
    window = window_of(held.rows(file), summary, start, stop, None, bins)
    image = heat_map(window, summary, held.order(file) if query.get("order") == "alike" else None)
    if len(image) > 1024:  # more channels than a screen has lines: each line shows the mean colour of its channels
        import cv2

        image = cv2.resize(image, (image.shape[1], 1024), interpolation=cv2.INTER_AREA)
    edges = f"{window.edges[0]},{window.edges[-1]}"
    return Response(encode_png(image), media_type="image/png", headers={**_KEPT, "X-Edges": edges})


Answer = Callable[[Held, QueryParams], Response]


def _guarded(answer: Answer) -> Callable[[Request], object]:
    async def guarded(request: Request) -> Response:
        claims = _claims(request)
        if claims is None or claims[2] == "export":
            return _text("There is nothing at this address for you. Reload the page.")
        try:
            return await to_thread.run_sync(_answer, answer, Held(*claims), request.query_params)
        except CastleError as error:
            return _text(str(error))

    return guarded


def _answer(answer: Answer, file: Held, query: QueryParams) -> Response:
    if held.held(file.opened, file.relative) != file:
        raise CastleError(f"{file.relative} is another file now. Reload the page.")
    if file.relative.endswith(".h5") and answer is not codes:
        raise CastleError("A feature map has no such view.")
    return answer(file, query)


def _claims(request: Request) -> list[str] | None:
    session = request.scope.get(SESSION_KEY)
    claims = unseal(f"inspect {session.user}", request.path_params["key"]) if session is not None else None
    return claims if isinstance(claims, list) and len(claims) == 3 else None


def _text(text: str) -> Response:
    return PlainTextResponse(text, 404, {"Cache-Control": "no-store"})


async def export(request: Request) -> Response:
    """Answer with an exported file."""
    claims = _claims(request)
    if claims is None or claims[2] != "export":
        return _text("There is nothing at this address for you. Reload the page.")
    folder = (Path(claims[0]) / "exports" / "latents").resolve()
    path = (folder / claims[1]).resolve()
    if path.parent != folder or not await to_thread.run_sync(path.is_file):
        return _text(f"{claims[1]} is not there any more. Export it again.")
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name, safe='')}",
        "Cache-Control": "no-store",
    }
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def inspector_routes() -> list[Route]:
    """Return the Inspector's routes."""
    base = f"{prefix()}{ENDPOINT}/{{key}}"
    answers = {"points.bin": points, "codes.bin": codes, "traces.json": traces, "heat.png": heat}
    return [
        *(
            Route(f"{base}/{name}", _guarded(answer), methods=["GET", "HEAD"], name=name)
            for name, answer in answers.items()
        ),
        Route(f"{base}/export", export, methods=["GET", "HEAD"], name="latent-export"),
    ]
