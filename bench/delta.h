// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report.h"

namespace bench {

extern const char* const kDeltaUsage;

/// `vmsnap-bench delta`: prints the table of the delta codecs, and how XBZRLE compares with its peers. Answers an exit code.
int measure_deltas(const std::vector<std::string>& words, Report& report);

}  // namespace bench
