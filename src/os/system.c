/* system.c: what can be read about the machine, the boot and the namespace. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/fault.h"
#include "os/read.h"

int kin__os_read_text(const char *path, char *text, size_t size)
{
    int rc = kin__os_fault(KIN__FAULT_DESCRIPTOR);
    if (rc < 0) return rc;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    size_t length = 0;
    while (length < size - 1) {
        ssize_t count = read(descriptor, text + length, size - 1 - length);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) rc = -errno;
        if (count <= 0) break;
        length += (size_t)count;
    }
    close(descriptor);
    text[length] = '\0';
    return rc < 0 ? rc : (int)length;
}

const char *kin__os_host_name(char *name, size_t size)
{
    if (gethostname(name, size) != 0 && errno != ENAMETOOLONG) name[0] = '\0';
    name[size - 1] = '\0';
    if (name[0] == '\0') snprintf(name, size, "?");
    return name;
}

/* ---- the family's identity -------------------------------------------------------------------- */

static int hexadecimal(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

int kin__os_boot_id(uint8_t id[16])
{
    char text[64];
    int rc = kin__os_read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    if (rc < 0) return rc;
    int digits = 0;
    memset(id, 0, 16);
    for (const char *at = text; *at != '\0' && digits < 32; at++) {
        int value = hexadecimal(*at);
        if (value < 0) continue;
        id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
        digits++;
    }
    return digits == 32 ? 0 : -EIO;
}

int kin__os_pid_namespace(uint64_t *inode)
{
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    if (rc < 0) return rc;
    struct stat status;
    if (stat("/proc/self/ns/pid", &status) < 0) return -errno;
    *inode = status.st_ino;
    return 0;
}

int kin__os_random(void *bytes, size_t size)
{
    int rc = kin__os_fault(KIN__FAULT_OTHER);
    for (size_t got = 0; rc == 0 && got < size;) {
        ssize_t count = getrandom((char *)bytes + got, size - got, 0);
        if (count >= 0)
            got += (size_t)count;
        else if (errno != EINTR)
            rc = -errno;
    }
    return rc;
}

/* ---- memory that ran out ---------------------------------------------------------------------- */

static int64_t count_in(const char *path, const char *key)
{
    char text[8192];
    int rc = kin__os_read_text(path, text, sizeof text);
    if (rc < 0) return rc == -ENOENT || rc == -ENOTDIR ? -ENOENT : rc;
    size_t length = strlen(key);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ' ') return strtoll(line + length, NULL, 10);
    }
    return -ENOENT;
}

int64_t kin__os_oom_kills(void)
{
    char groups[4096], path[4200];
    int rc = kin__os_read_text("/proc/self/cgroup", groups, sizeof groups);
    if (rc < 0) return rc;
    /* "0::/path" is the unified hierarchy, "7:memory:/path" the older one. */
    int64_t count = -ENOENT;
    char *rest = groups;
    for (char *line; count < 0 && (line = strsep(&rest, "\n")) != NULL;) {
        char *controllers = strchr(line, ':');
        char *place = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (place == NULL) continue;
        *place++ = '\0';
        if (controllers[1] == '\0') {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.events", place);
            count = count_in(path, "oom_kill");
        } else if (strcmp(controllers + 1, "memory") == 0) {
            snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.oom_control", place);
            count = count_in(path, "oom_kill");
        }
    }
    /* The topmost group counts nothing of its own; there the whole system is meant. */
    return count == -ENOENT ? count_in("/proc/vmstat", "oom_kill") : count;
}
