/* station.h: where the lines of a family's log are collected.
 * Docs: docs/design/062-family-log.md. */
#ifndef KIN_PROCESS_STATION_H
#define KIN_PROCESS_STATION_H

/* At the normal end of this process, after that of its children: delivers what was said. */
void kin__log_finish(void);

/* How many threads kin has in this process to deliver lines: one, or none.  It locks nothing itself. */
int kin__log_threads(void);

#endif
