"""Other people's tus client against our endpoint: breaks off, resumes, ends right."""

import hashlib
import os
import shutil
import subprocess

import pytest
from serving import running_server

from castle_core.projects import Project
from castle_core.uploads import UploadStore
from castle_core.users import UserTable

CLIENT = """
const tus = require("tus-js-client"), fs = require("fs");
const [endpoint, token, cookie, path] = process.argv.slice(2);
const size = fs.statSync(path).size;
const options = {
  endpoint, uploadSize: size, chunkSize: 1 << 20, retryDelays: [0, 200, 500],
  headers: {"X-Upload-Token": token, Cookie: cookie},
  metadata: {filename: "möuse's 🐭.zip", filetype: "application/zip"},
};
const fail = error => { console.error(String(error)); process.exit(1) };
const half = new Promise(resolve => {
  const upload = new tus.Upload(fs.createReadStream(path), {
    ...options, onError: fail,
    onChunkComplete: async (_, accepted) => {
      if (accepted >= size / 3) { await upload.abort(false); resolve(upload.url) }
    },
  });
  upload.start();
});
half.then(url => {
  const upload = new tus.Upload(fs.createReadStream(path), {
    ...options, uploadUrl: url, onError: fail,
    onSuccess: () => { console.log(upload.url); process.exit(0) },
  });
  upload.start();
});
"""


@pytest.mark.heavy
def test_tus_js_client_uploads_and_resumes(tmp_path, castle_folders, monkeypatch):
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm and node are not here")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "tus-js-client@4"]
    if subprocess.run(install, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm cannot fetch tus-js-client")
    monkeypatch.setenv("CASTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASTLE_STATE", str(tmp_path / "state"))
    project = Project.create(tmp_path / "home" / "mice")
    UserTable().add("ann", "ann's password")
    (tmp_path / "client.js").write_text(CLIENT, encoding="utf-8")
    data = os.urandom(10 << 20)
    (tmp_path / "big.zip").write_bytes(data)
    from test_app import cookie_of, log_in, token

    with running_server(tmp_path) as server, log_in(server) as client:
        command = ["node", "client.js", f"{server.url}/api/uploads", token(client), cookie_of(client), "big.zip"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 0, run.stderr
        (upload,) = UploadStore(project).all("ann")
        assert upload.name == "möuse's 🐭.zip"
        assert upload.state == "received"
        assert upload.sha256 == hashlib.sha256(data).hexdigest()
