# SPDX-License-Identifier: Apache-2.0
# Headers that a sanitized build compiles once. The others compile each file with what it includes itself, and so tell what is missing.
set(snap_common_headers <algorithm> <atomic> <condition_variable> <cstdint> <cstring> <deque> <functional> <map> <memory> <mutex> <optional> <set>
  <span> <string> <string_view> <thread> <vector>)

function(snap_precompile target)
  if(SNAP_SANITIZE)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()
