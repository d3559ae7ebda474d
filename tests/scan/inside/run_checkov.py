"""Print what checkov finds in each file: one start of it for all, and one graph for each.

In a folder scanned as a whole, one variant's NetworkPolicy would answer for another's pods.
"""

import json
import sys

from checkov.kubernetes.runner import Runner
from checkov.runner_filter import RunnerFilter

only = RunnerFilter(framework=["kubernetes"])
found = {}
for file in sys.argv[1:]:
    report = Runner().run(root_folder=None, files=[file], runner_filter=only)
    found[file] = {
        "unread": report.parsing_errors,
        "skipped": [one.check_id for one in report.skipped_checks],
        "passed": len(report.passed_checks),
        "failed": [[one.check_id, one.resource] for one in report.failed_checks],
    }
print(json.dumps(found))
