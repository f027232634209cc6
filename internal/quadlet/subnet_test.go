package quadlet

import (
	"net/netip"
	"testing"
)

func TestSubnetIsTheSameUnlessItIsTaken(t *testing.T) {
	first, err := Subnet("fixer", nil)
	if err != nil || !netip.MustParsePrefix("10.192.0.0/10").Contains(first.Addr()) || first.Bits() != 24 {
		t.Fatalf("%v, %v", first, err)
	}
	if again, _ := Subnet("fixer", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}); again != first {
		t.Errorf("%v and %v", first, again)
	}
	if other, err := Subnet("fixer", []netip.Prefix{first}); err != nil || other.Overlaps(first) {
		t.Errorf("%v, %v meets the taken %v", other, err, first)
	}
	if none, err := Subnet("fixer", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); err == nil {
		t.Errorf("%v was given although all are taken", none)
	}
}
