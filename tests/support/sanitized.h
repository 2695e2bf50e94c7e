// SPDX-License-Identifier: Apache-2.0
// Sanitizers make all ten times slower: what release tests to the last bit, they see a sample of.
#pragma once

namespace snap::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace snap::test
