// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "server.h"

namespace snap::view {

namespace {

/// What may unmount for users who may not: libfuse's helper.
int by_helper(const std::string& directory, bool lazy) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    ::execlp("fusermount3", "fusermount3", lazy ? "-uz" : "-u", "--", directory.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return EPERM;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

}  // namespace

int unmount(const std::string& directory, bool lazy) {
  const int flags = UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0);
  if (::umount2(directory.c_str(), flags) == 0) return 0;
  return errno == EPERM ? by_helper(directory, lazy) : errno;
}

}  // namespace snap::view
