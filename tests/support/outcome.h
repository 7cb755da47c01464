/* outcome.h: what a test program tells the runner, by exit codes and marked lines. */
#ifndef OUTCOME_H
#define OUTCOME_H

enum outcome_code { OUTCOME_PASSED = 0, OUTCOME_FAILED = 1, OUTCOME_USAGE = 2, OUTCOME_SKIPPED = 77 };

/* Each mark begins a line, which ends it. */
#define OUTCOME_FAILED_MARK  "FAILED: "
#define OUTCOME_SKIPPED_MARK "SKIPPED: "
#define OUTCOME_NOTE_MARK    "NOTE: "

#endif
