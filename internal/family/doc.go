// Package family starts processes that can be ended with all that descends from them,
// reads what they use, and leaves none behind.
//
// A Starter starts a Family. It is killed as a whole: its members are stopped first and
// counted until no new ones turn up, then killed, whatever group or session they have
// fled to. A variable in the environment marks them, so that the next process can end
// what one that was killed left behind.
//
// Linux keeps the whole promise. Elsewhere a family is its process group, and what
// ps tells of it.
package family
