// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and its relatives: work stops at the next read or write, and what was begun is removed.
#pragma once

#include <atomic>

namespace snap::tool {

/// SIGINT, SIGTERM and SIGHUP set the flag; a second one, or two seconds without an end, exit at once. SIGPIPE becomes EPIPE.
void install_signal_handlers();
/// For the `cancel` options of the library.
const std::atomic<bool>& cancel_flag();
bool cancelled();
/// The signal that set the flag; 0: none.
int caught_signal();
/// How long the end may take after a signal, where something else than files has to be put back. A second signal changes nothing then.
void allow_seconds_to_end(unsigned seconds);
/// From here on the three signals go to another process instead, which ends when it sees fit. 0: nowhere.
void pass_signals_to(int process);
/// The last that went there; 0: none.
int passed_signal();

}  // namespace snap::tool
