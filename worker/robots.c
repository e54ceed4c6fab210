#include "worker/robots.h"

#include "base/fdio.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static const char preset[] = "User-agent: *\n"
                             "Allow: /iiif/*/info.json$\n"
                             "Disallow: /iiif/\n"
                             "Disallow: /deepzoom/\n"
                             "Disallow: /zoomify/\n"
                             "Disallow: /jpip\n";

static enum rc read_file(int fd, const char *path, char **ret_text, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, RC_IO, "robots: %s is no file", path);
    if (status.st_size > (off_t)WORKER_ROBOTS_MOST_BYTES)
        return err_set(err, RC_TOO_LARGE, "robots: %s has more than %u bytes", path,
                       WORKER_ROBOTS_MOST_BYTES);
    OWN_FREE char *text = calloc(1, (size_t)status.st_size + 1);
    if (text == NULL)
        return err_set(err, RC_NO_MEMORY, "no memory for %s", path);
    enum rc rc = fdio_pread_exact(fd, text, (size_t)status.st_size, 0, err);
    if (rc == RC_OK && strlen(text) != (size_t)status.st_size)
        rc = err_set(err, RC_BAD_REQUEST, "robots: %s holds a NUL byte", path);
    if (rc == RC_OK)
        *ret_text = TAKE_PTR(text);
    return rc;
}

enum rc worker_robots_load(const char *path, char **ret_text, struct err *err)
{
    if (path[0] == '\0') {
        *ret_text = strdup(preset);
        return *ret_text != NULL ? RC_OK : err_set(err, RC_NO_MEMORY, "no memory for robots.txt");
    }
    OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set_errno(err, RC_IO, errno, "robots: %s cannot be read", path);
    return read_file(fd, path, ret_text, err);
}
