// SPDX-License-Identifier: Apache-2.0
// Where this process serves a view itself: if it looked for a file there, it would wait for its own answer.
#pragma once

#include <string>

namespace snap::tool {

/// `directory`: where the view has just been mounted; nobody answers yet. Called once, before there are other threads.
void set_own_mount(const std::string& directory);

/// Whether a path leads there, by symbolic links and bind mounts too. Asks nothing of what is mounted there. From any thread.
bool leads_into_own_mount(const std::string& path);

}  // namespace snap::tool
