"""The workspace as a package, so that a user's plugins have names that other processes can import.

`<workspace>/plugins/loss/mine.py` is `comp.user.plugins.loss.mine`; `<workspace>/experiments/exp042/focal.py` is
`comp.user.experiments.exp042.focal`. The workspace is taken from COMP_WORKSPACE, which worker processes inherit;
comp.project.Project.activate sets it.
"""

from __future__ import annotations

import os

# A class loaded by spec_from_file_location cannot be unpickled by a spawned worker; one of a package on this path can.
__path__ = [os.environ["COMP_WORKSPACE"]] if os.environ.get("COMP_WORKSPACE") else []
