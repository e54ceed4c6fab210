/*
 * Runs a fuzzer's entry point over files, without libFuzzer: `make check` replays every input that ever mattered.
 *
 * Arguments are files and folders (one level, no hidden files). The file's name is written before it is run, so
 * that a crash names its input on the last line. Exit status 0 when every input was run, 2 when one was unreadable.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;

    if (!file || fstat(fileno(file), &st) < 0) {
        perror(path);
        if (file)
            fclose(file);
        return -1;
    }

    size_t size = (size_t)st.st_size;
    /* Exactly as large as the input, so that the sanitizer sees a read past its end; never NULL. */
    uint8_t *data = malloc(size > 0 ? size : 1);
    int rc = -1;

    if (data && fread(data, 1, size, file) == size) {
        printf("%s\n", path);
        fflush(stdout);
        LLVMFuzzerTestOneInput(data, size);
        rc = 0;
    } else {
        perror(path);
    }
    free(data);
    fclose(file);
    return rc;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, visible, alphasort);
    int rc = 0;

    if (count < 0) {
        perror(folder);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char path[4096];

        if (snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) >= (int)sizeof(path)) {
            fprintf(stderr, "%s: the name is too long\n", entries[i]->d_name);
            rc = -1;
        } else if (replay_file(path) < 0) {
            rc = -1;
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;

        if (stat(argv[i], &st) < 0) {
            perror(argv[i]);
            rc = -1;
        } else if ((S_ISDIR(st.st_mode) ? replay_folder : replay_file)(argv[i]) < 0) {
            rc = -1;
        }
    }
    return rc < 0 ? 2 : 0;
}
