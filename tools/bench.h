// SPDX-License-Identifier: Apache-2.0
// `vmsnap bench`: another program, vmsnap-bench.
#pragma once

namespace snap::tool {

/// `argv` as vmsnap got it, "bench" being the second. Becomes the program that lies beside this one, else the one in the PATH, with the
/// arguments after that; where there is none the command ends. Before any signal is handled or ignored.
[[noreturn]] void run_bench(char** argv);

}  // namespace snap::tool
