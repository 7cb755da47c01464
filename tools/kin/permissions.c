/* permissions.c: see permissions.h. */
#define _GNU_SOURCE
#include "permissions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

static struct permission_key *find(const struct permissions *permissions, const char *name)
{
    for (size_t i = 0; i < permissions->count; i++) {
        if (strcmp(permissions->keys[i]->name, name) == 0) return permissions->keys[i];
    }
    return NULL;
}

/* NULL, or what is wrong. */
static const char *add_key(struct permissions *permissions, const char *name, const char *file, bool warn)
{
    if (find(permissions, name) != NULL) return "this name has a key already";
    if (permissions->count == PERMISSION_KEYS_MOST) return "too many keys";
    struct permission_key *key = calloc(1, sizeof *key);
    if (key == NULL) return "no memory";
    permissions->keys[permissions->count++] = key;
    key->name = strdup(name);
    if (key->name == NULL) return "no memory";
    return key_read(&key->key, file, warn) ? NULL : "the key cannot be read";
}

static const char *add_rule(struct permissions *permissions, const char *name, const char *pattern,
                            const char *right)
{
    static const char *const rights[] = {"nothing", "read", "write"};
    struct permission_key *key = find(permissions, name);
    if (key == NULL) return "no key has that name";
    if (key->rule_count == PERMISSIONS_MOST) return "too many permissions of a key";
    for (int i = 0; i < 3; i++) {
        if (strcmp(right, rights[i]) != 0) continue;
        kin_manager_permission *rule = &key->rules[key->rule_count++];
        rule->name = strdup(pattern);
        rule->right = (enum kin_manager_right)i;
        return rule->name != NULL ? NULL : "no memory";
    }
    return "a right is nothing, read or write";
}

static const char *read_line(struct permissions *permissions, char *line, bool warn)
{
    static const char space[] = " \t\n";
    char *rest, *word[4];
    line[strcspn(line, "#")] = '\0';
    for (int i = 0; i < 4; i++) word[i] = strtok_r(i == 0 ? line : NULL, space, &rest);
    if (word[0] == NULL) return NULL;
    if (word[2] == NULL || word[3] != NULL) return "a line has three words";
    return strcmp(word[0], "key") == 0 ? add_key(permissions, word[1], word[2], warn)
                                       : add_rule(permissions, word[0], word[1], word[2]);
}

/* A key of which nothing is said would be of no use, or of too much. */
static const char *finish(struct permissions *permissions)
{
    for (size_t i = 0; i < permissions->count; i++) {
        struct permission_key *key = permissions->keys[i];
        if (key->rule_count == 0) return "a key has no permissions";
        permissions->credentials[i] = (kin_manager_credential){.name = key->name,
                                                               .key = key->key.bytes,
                                                               .key_size = key->key.size,
                                                               .permissions = key->rules,
                                                               .permission_count = key->rule_count};
    }
    return NULL;
}

bool permissions_read(struct permissions *permissions, const char *file, bool warn)
{
    const char *wrong = NULL;
    char *line = NULL;
    size_t room = 0, number = 0;
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        say("cannot read the permissions from %s: %s", file, error_words(errno));
        return false;
    }
    while (wrong == NULL && getline(&line, &room, stream) >= 0) {
        number++;
        wrong = read_line(permissions, line, warn);
    }
    if (wrong == NULL) wrong = finish(permissions);
    if (wrong != NULL) say("%s, line %zu: %s", file, number, wrong);
    free(line);
    fclose(stream);
    return wrong == NULL;
}

void permissions_free(struct permissions *permissions)
{
    for (size_t i = 0; i < permissions->count; i++) {
        struct permission_key *key = permissions->keys[i];
        for (size_t k = 0; k < key->rule_count; k++) free((void *)(uintptr_t)key->rules[k].name);
        free(key->name);
        explicit_bzero(&key->key, sizeof key->key);
        free(key);
    }
}
