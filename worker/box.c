#include "worker/box.h"

#include "base/own.h"
#include "base/sanitizer.h"
#include "worker/box_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- root's rights ---- */

/* The first of the names that exists; NULL when there is none. */
static const struct passwd *find_user(const char *names)
{
    for (const char *name = names; *name != '\0';) {
        char one[64];
        size_t length = strcspn(name, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, name);
        const struct passwd *user = one[0] != '\0' ? getpwnam(one) : NULL;
        if (user != NULL)
            return user;
        name += length + (name[length] == ',');
    }
    return NULL;
}

/* Nobody has to be become: we are not root, or shall stay who we are. */
static bool stays(const char *names)
{
    return geteuid() != 0 || names[0] == '\0';
}

void worker_box_user(const struct settings *settings, uid_t *ret_user, gid_t *ret_group)
{
    const struct passwd *user = BASE_UNDER_SANITIZER || stays(settings->user) ? NULL : find_user(settings->user);
    *ret_user = user != NULL ? user->pw_uid : (uid_t)-1;
    *ret_group = user != NULL ? user->pw_gid : (gid_t)-1;
}

static enum rc become_user(const char *names, struct err *err)
{
    if (stays(names))
        return RC_OK;
    const struct passwd *user = find_user(names);
    if (user == NULL)
        return err_set(err, RC_IO, "user is \"%s\", but there is no such user", names);
    if (setgroups(0, NULL) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
        return err_set_errno(err, RC_IO, errno, "the worker cannot become user %s", user->pw_name);
    /* Forgotten with the user: a worker dies with its master. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return RC_OK;
}

static enum rc check_images(const struct settings *settings, int images_fd, struct err *err)
{
    if (faccessat(images_fd, ".", R_OK | X_OK, AT_EACCESS) == 0)
        return RC_OK;
    int os_errno = errno;
    const struct passwd *user = getpwuid(geteuid());
    return err_set_errno(err, RC_IO, os_errno,
                         "user %s, as whom workers run, cannot read the image directory %s",
                         user != NULL ? user->pw_name : "of another name", settings->images);
}

/* ---- files ---- */

/* As the kernel reads it; the headers that we build with know the first field only. */
struct ruleset {
    uint64_t access_fs, access_net, scoped;
};
#define ACCESS_FS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15)
#define ACCESS_NET_TCP      UINT64_C(3) /* bind and connect */
#define SCOPE_ALL           UINT64_C(3) /* abstract sockets and signals stay within the worker */

/* By version of Landlock; each handles what those before it do. */
static struct ruleset make_ruleset(long version)
{
    struct ruleset ruleset = {.access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    if (version >= 2)
        ruleset.access_fs |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        ruleset.access_fs |= ACCESS_FS_TRUNCATE;
    if (version >= 4)
        ruleset.access_net = ACCESS_NET_TCP;
    if (version >= 5)
        ruleset.access_fs |= ACCESS_FS_IOCTL_DEV;
    if (version >= 6)
        ruleset.scoped = SCOPE_ALL;
    return ruleset;
}

static bool allow_beneath(int ruleset_fd, int directory_fd, uint64_t access)
{
    const struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = directory_fd};
    return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

static enum rc limit_files(int images_fd, int cache_fd, const char **ret_note, struct err *err)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1) { /* also EPERM, where a container's own filter is older than the call */
        *ret_note = "this kernel has no Landlock: workers may read whatever their user may read";
        return RC_OK;
    }
    struct ruleset ruleset = make_ruleset(version);
    size_t size = version >= 6 ? sizeof ruleset : version >= 4 ? 16 : 8;
    OWN_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, size, 0);
    const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    const uint64_t writing = reading | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG |
                             (ruleset.access_fs & (LANDLOCK_ACCESS_FS_REFER | ACCESS_FS_TRUNCATE));
    if (fd < 0 || !allow_beneath(fd, images_fd, reading) ||
        (cache_fd >= 0 && !allow_beneath(fd, cache_fd, writing)) ||
        syscall(SYS_landlock_restrict_self, fd, 0) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno,
                             "this system does not limit a worker's files (sandbox = false goes without)");
    return RC_OK;
}

/* ---- limits ---- */

static enum rc limit_resources(const struct settings *settings, struct err *err)
{
    const struct rlimit none = {0, 0};
    const struct rlimit data = {(rlim_t)settings->worker_max_memory, (rlim_t)settings->worker_max_memory};
    if (setrlimit(RLIMIT_CORE, &none) < 0 ||
        (settings->worker_max_memory > 0 && setrlimit(RLIMIT_DATA, &data) < 0 && errno != EPERM))
        return err_set_errno(err, RC_IO, errno, "a worker's memory cannot be limited");
    return RC_OK;
}

enum rc worker_box_enter(const struct settings *settings, int images_fd, int cache_fd, const char **ret_note,
                         struct err *err)
{
    *ret_note = NULL;
    if (BASE_UNDER_SANITIZER)
        return RC_OK;
    enum rc rc = become_user(settings->user, err);
    if (rc == RC_OK)
        rc = check_images(settings, images_fd, err);
    if (rc != RC_OK || !settings->sandbox)
        return rc;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_errno(err, RC_UNSUPPORTED, errno, "the worker cannot give up new rights");
    rc = limit_files(images_fd, cache_fd, ret_note, err);
    if (rc == RC_OK)
        rc = limit_resources(settings, err);
    if (rc == RC_OK)
        rc = worker_box_calls_limit(err);
    return rc;
}
