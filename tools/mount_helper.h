// SPDX-License-Identifier: Apache-2.0
// What mount(8) calls for the type fuse.vmsnap: this program by another name.
#pragma once

#include <string>
#include <vector>

namespace snap::tool {

/// Whether the program was called by that name: mount.fuse.vmsnap.
bool is_mount_helper(const char* program);

/// `SOURCE DIRECTORY [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]` as words of vmsnap; none where nothing is to be mounted (-f).
std::vector<std::string> words_of_mount_helper(int argc, char** argv);

}  // namespace snap::tool
