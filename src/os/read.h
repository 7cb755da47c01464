/* read.h: reading one of the kernel's small text files. */
#ifndef KIN_OS_READ_H
#define KIN_OS_READ_H

#include <stddef.h>

/* Reads at most size - 1 bytes of the file into `text` and ends them with a NUL; returns how
 * many they are, or -errno. */
int kin__os_read_text(const char *path, char *text, size_t size);

#endif
