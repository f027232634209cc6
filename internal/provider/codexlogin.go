package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/podbottle/podbottle/internal/secret"
)

// codexAuthClaim holds the account in the tokens of a Codex login.
const codexAuthClaim = "https://api.openai.com/auth"

// codexLogin is what is used of the host's Codex login: the access token, and
// what its stand-in must look like. The refresh token is never read.
type codexLogin struct {
	mode        string
	accountID   string
	accessToken secret.Value
	expires     time.Time
	account     map[string]any // account claims that hold no secret
}

// readCodexLogin reads $CODEX_HOME/auth.json, or ~/.codex/auth.json. Every
// error says how to log in again and none holds a part of the file.
func readCodexLogin(in Input) (codexLogin, error) {
	dir := filepath.Join(in.HostHome, ".codex")
	if home, ok := in.LookupEnv("CODEX_HOME"); ok && home != "" {
		dir = home
		if rest, ok := strings.CutPrefix(home, "~"); ok && (rest == "" || rest[0] == '/') {
			dir = filepath.Join(in.HostHome, rest)
		}
	}
	file := filepath.Join(dir, "auth.json")
	fail := func(what string) (codexLogin, error) {
		return codexLogin{}, fmt.Errorf("codex login in %s %s; log in on the host with: codex login --device-auth", file, what)
	}
	data, err := readBounded(file)
	if errors.Is(err, os.ErrNotExist) {
		return fail("is missing")
	}
	if err != nil {
		return codexLogin{}, fmt.Errorf("codex login: %w", err)
	}
	var auth struct {
		Mode   string `json:"auth_mode"`
		Tokens *struct {
			AccessToken string `json:"access_token"`
			AccountID   string `json:"account_id"`
		} `json:"tokens"`
	}
	if err := json.Unmarshal(data, &auth); err != nil {
		return fail("is not valid JSON")
	}
	switch strings.ToLower(strings.ReplaceAll(auth.Mode, "_", "")) {
	case "":
		return fail("has no auth_mode")
	case "apikey":
		return fail("is an API key, not a login")
	}
	if auth.Tokens == nil {
		return fail("has no tokens")
	}
	if auth.Tokens.AccessToken == "" {
		return fail("has no access token")
	}
	claims := jwt.MapClaims{}
	// The signature is OpenAI's to check; only the expiry is of interest here.
	if _, _, err := jwt.NewParser().ParseUnverified(auth.Tokens.AccessToken, claims); err != nil {
		return fail("has an access token that is not a JWT")
	}
	exp, err := claims.GetExpirationTime()
	if err != nil || exp == nil {
		return fail("has an access token without an expiry")
	}
	if !exp.After(in.Now) {
		return fail("has expired")
	}
	return codexLogin{
		mode: auth.Mode, accountID: auth.Tokens.AccountID, accessToken: secret.New(auth.Tokens.AccessToken),
		expires: exp.Time, account: accountClaims(claims),
	}, nil
}

func readBounded(file string) ([]byte, error) {
	const most = 1 << 20
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("%s is larger than %d KiB", file, most>>10)
	}
	return data, err
}

// accountClaims keeps what Codex shows and sends of the account.
func accountClaims(claims jwt.MapClaims) map[string]any {
	kept := map[string]any{}
	from, _ := claims[codexAuthClaim].(map[string]any)
	for _, key := range []string{"chatgpt_account_id", "chatgpt_plan_type"} {
		if s, ok := from[key].(string); ok {
			kept[key] = s
		}
	}
	return kept
}

// standIn is an auth.json of the same shape whose tokens are worth nothing. They
// carry the real expiry: with an earlier one Codex would try to refresh them.
func (l codexLogin) standIn(now time.Time) ([]byte, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"exp": l.expires.Unix(), codexAuthClaim: l.account,
	}).SignedString([]byte(Placeholder))
	if err != nil {
		return nil, fmt.Errorf("stand-in for the codex login: %w", err)
	}
	data, err := json.MarshalIndent(map[string]any{
		"auth_mode":      l.mode,
		"OPENAI_API_KEY": nil,
		"tokens": map[string]string{
			"id_token": token, "access_token": token, "refresh_token": Placeholder, "account_id": l.accountID,
		},
		"last_refresh": now.UTC().Format(time.RFC3339),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("stand-in for the codex login: %w", err)
	}
	return append(data, '\n'), nil
}
