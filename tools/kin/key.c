/* key.c: reading an authentication key. */
#define _GNU_SOURCE
#include "key.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

static int read_all(int descriptor, struct key *key)
{
    ssize_t got;
    key->size = 0;
    while (key->size <= KEY_MOST &&
           (got = read(descriptor, key->bytes + key->size, KEY_MOST + 1 - key->size)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        key->size += (size_t)got;
    }
    if (key->size > KEY_MOST) return EFBIG;
    if (key->size > 0 && key->bytes[key->size - 1] == '\n') key->size--;
    return 0;
}

bool key_read(struct key *key, const char *file, bool warn)
{
    bool standard = strcmp(file, "-") == 0;
    int descriptor = standard ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    int error = descriptor < 0 ? errno : read_all(descriptor, key);
    struct stat about;
    if (error == 0 && !standard && fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode)) {
        /* Whoever can write it says which key it is. */
        if ((about.st_mode & 022) != 0 || (about.st_uid != geteuid() && about.st_uid != 0)) {
            say("cannot use the key of %s: others than its user can write it", file);
            close(descriptor);
            return false;
        }
        if (warn && (about.st_mode & 077) != 0) say("others than its owner can read %s", file);
    }
    if (descriptor >= 0 && !standard) close(descriptor);
    if (error == 0 && key->size > 0) return true;
    say("cannot read the key from %s: %s", file, error != 0 ? error_words(error) : "it is empty");
    return false;
}
