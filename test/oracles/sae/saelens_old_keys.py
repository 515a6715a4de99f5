"""Every field of the configurations of SAELens 0 to 5, for test/golden/sae/saelens-old-keys.json.

    pip download --no-deps sae-lens==VERSION -d WHEELS      # one of each: 0.1.0 to 5.10.7
    python saelens_old_keys.py WHEELS > ../../golden/sae/saelens-old-keys.json

A flat cfg.json holds the fields of the run that trained the SAE, or of the SAE alone.
"""

import ast
import json
import sys
import zipfile
from pathlib import Path

CLASSES = {
    "LanguageModelSAERunnerConfig",
    "SAEToyModelRunnerConfig",
    "ToyModelSAERunnerConfig",
    "SAEConfig",
    "TrainingSAEConfig",
}


def fields(tree: ast.Module):
    for node in ast.walk(tree):
        if not (isinstance(node, ast.ClassDef) and node.name in CLASSES):
            continue
        for part in ast.walk(node):
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                yield part.target.id
            elif (
                isinstance(part, ast.Attribute)
                and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
            ):
                yield part.attr


found: set[str] = set()
for path in sorted(Path(sys.argv[1]).glob("*.whl")):
    wheel = zipfile.ZipFile(path)
    for name in wheel.namelist():
        if name.endswith(".py"):
            found.update(fields(ast.parse(wheel.read(name))))
print(json.dumps(sorted(found)))
